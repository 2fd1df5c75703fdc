"""The messages between the parent and an api process."""

from cellar.embedded.control import ControlChannel


def test_messages_arrive_whole_and_in_order() -> None:
    one, other = ControlChannel.pair()
    for number in range(3):
        assert one.send({"living": {"0": number}})
    assert other.send({"waiting": "for \u00fc"})
    assert other.receive() == [{"living": {"0": number}} for number in range(3)]
    assert other.receive() == []
    assert one.receive() == [{"waiting": "for \u00fc"}]
    one.close()
    other.close()


def test_a_process_that_reads_nothing_blocks_no_other() -> None:
    one, other = ControlChannel.pair()
    sent = 0
    while one.send({"living": {"0": sent}}):
        sent += 1
    assert len(other.receive()) == sent
    assert one.send({"living": {}}), "there is room again"
    one.close()
    other.close()


def test_a_closed_end_is_no_error() -> None:
    one, other = ControlChannel.pair()
    other.close()
    assert not one.send({"retire": True})
    assert one.receive() == []
    one.close()
