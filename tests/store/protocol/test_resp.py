"""RESP2: whatever the pieces, the same replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.store.protocol.resp import Reply, ReplyError, ReplyParser, pack

replies = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def encode(reply: Reply) -> bytes:
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    assert isinstance(reply, list)
    return b"*%d\r\n" % len(reply) + b"".join(encode(item) for item in reply)


@given(st.lists(replies, max_size=6), st.lists(st.integers(1, 30), min_size=1, max_size=20))
def test_replies_come_out_whole_however_they_are_cut(sent: list[Reply], sizes: list[int]) -> None:
    data = b"".join(encode(reply) for reply in sent)
    parser, got = ReplyParser(), list[Reply]()
    at, turn = 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        got += parser.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert got == sent


def test_lines_errors_and_nulls() -> None:
    ok, error, null = ReplyParser().feed(b"+OK\r\n-OOM command not allowed\r\n*-1\r\n")
    assert (ok, null) == (b"OK", None)
    assert isinstance(error, ReplyError)
    assert str(error) == "OOM command not allowed"


def test_an_error_inside_an_array_is_an_item() -> None:
    [[one, error]] = ReplyParser().feed(b"*2\r\n:1\r\n-ERR no\r\n")  # type: ignore[misc]  # an array, as the bytes say
    assert one == 1
    assert isinstance(error, ReplyError)


def test_what_is_no_reply_is_refused() -> None:
    with pytest.raises(ValueError, match="Protocol error"):
        ReplyParser().feed(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    ("data", "busy"),
    [
        (b"", False),
        (b":1\r\n", False),
        (b":1\r", True),
        (b"$3\r\nab", True),
        (b"*2\r\n:1\r\n", True),
        (b"*0\r\n", False),
    ],
)
def test_a_parser_knows_whether_a_part_of_a_reply_has_come(data: bytes, busy: bool) -> None:
    parser = ReplyParser()
    parser.feed(b"+OK\r\n" + data)
    assert parser.busy is busy


def test_a_long_reply_is_scanned_once_it_is_whole() -> None:
    parser = ReplyParser()
    data = encode([b"x" * 100_000, 1])
    for at in range(0, len(data) - 1, 1000):
        assert parser.feed(data[at : min(at + 1000, len(data) - 1)]) == []
    assert parser.feed(data[-1:]) == [[b"x" * 100_000, 1]]


def test_commands_are_packed_with_their_lengths() -> None:
    assert (
        pack([(b"PING",), (b"SET", b"a\r\n", b"")])
        == b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
    )


def test_a_long_reply_in_small_pieces_is_put_together_once() -> None:
    """64 MiB by 64 KiB: put together with each piece, this would copy 32 GiB."""
    parser, size, piece = ReplyParser(), 64 * 1024 * 1024, 64 * 1024
    replies = parser.feed(b"$%d\r\n" % size)
    for _ in range(size // piece):
        replies += parser.feed(b"x" * piece)
    assert replies == []
    (reply,) = parser.feed(b"\r\n")
    assert isinstance(reply, bytes)
    assert len(reply) == size


def test_the_items_of_a_long_array_are_scanned_once() -> None:
    """200,000 items by 1 KiB: from the beginning with each piece, this would scan 200 million."""
    data, parser, got = encode([b"name"] * 200_000), ReplyParser(), list[Reply]()
    for at in range(0, len(data), 1024):
        got += parser.feed(data[at : at + 1024])
    assert got == [[b"name"] * 200_000]
