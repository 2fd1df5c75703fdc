"""Where keys lie, and what the nodes of a cluster say about it."""

import pytest

from cellar.errors import StoreCorrupt
from cellar.store.protocol.resp import Command, Reply, ReplyError
from cellar.store.topology.slots import Redirect, SlotMap, slot_of

ASKED = ("10.0.0.1", 7000)


@pytest.mark.parametrize(
    "command",
    [
        (b"GET", b"{a}1"),
        (b"EVALSHA", b"sha", b"2", b"{a}1", b"{a}2", b"argument"),
    ],
)
def test_the_key_of_a_command(command: Command) -> None:
    assert slot_of(command) == slot_of((b"GET", b"a")) == 15495


def test_a_map_names_owners_and_all_nodes() -> None:
    slots = SlotMap.parse(
        [[0, 1, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.3", 7002, b"id"]], [3, 16383, [b"10.0.0.4", 7003, b"id"]]], ASKED
    )
    assert slots.owners[:4] == [("10.0.0.2", 7001), ("10.0.0.2", 7001), None, ("10.0.0.4", 7003)]
    assert slots.primaries() == [("10.0.0.2", 7001), ("10.0.0.4", 7003)]
    assert ("10.0.0.3", 7002) in slots.nodes
    for node in slots.primaries():
        assert slots.owners[slot_of((b"SET", slots.key_at(node, b"probe")))] == node


@pytest.mark.parametrize("unknown", [b"", b"?", None])
def test_a_host_that_a_node_does_not_know_is_the_one_that_was_asked(unknown: Reply) -> None:
    slots = SlotMap.parse([[0, 16383, [unknown, 7001, b"id"]]], ASKED)
    assert slots.primaries() == [("10.0.0.1", 7001)]


def test_what_is_no_map_is_none() -> None:
    with pytest.raises(StoreCorrupt):
        SlotMap.parse([[b"0", 1, []]], ASKED)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ReplyError("MOVED 3999 10.0.0.2:6381"), Redirect("MOVED", 3999, ("10.0.0.2", 6381))),
        (ReplyError("ASK 3999 ::1:6381"), Redirect("ASK", 3999, ("::1", 6381))),
        (ReplyError("MOVED 3999 :6381"), Redirect("MOVED", 3999, ("10.0.0.1", 6381))),
        (ReplyError("MOVED on"), None),
        (ReplyError("ERR ASK 3999 ::1:6381"), None),
        (b"MOVED 3999 10.0.0.2:6381", None),
    ],
)
def test_redirections(reply: Reply, expected: Redirect | None) -> None:
    assert Redirect.parse(reply, ASKED) == expected
