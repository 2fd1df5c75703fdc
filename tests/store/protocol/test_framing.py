"""Replies to calls, in whatever pieces they come; and the one timer that all calls share."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import StoreUnavailable
from cellar.store.protocol.framing import PendingReply, RedisProtocol
from cellar.store.protocol.resp import Reply, ReplyError

ZERO = b":0\r\n"

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


class Sink(asyncio.Transport):
    """Where a connection would go."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Lose it."""

    def abort(self) -> None:
        """Note it."""
        self.aborted = True


@contextmanager
def wired() -> Iterator[RedisProtocol]:
    """Yield a connection on a loop that does not run: nothing here waits."""
    with closing(asyncio.new_event_loop()) as loop:
        wire = RedisProtocol(loop)
        wire.connection_made(Sink())
        yield wire
        wire.abort()


def read(*pieces: bytes, count: int) -> list[Reply]:
    """Return the replies to a call of `count` commands, none if they are not complete."""
    got: list[Reply] = []

    def take(replies: object) -> None:
        if isinstance(replies, list):
            got.extend(replies)

    with wired() as wire:
        wire.send(PendingReply(b"", count, 4.0, take))
        for piece in pieces:
            wire.data_received(piece)
    return got


@given(st.lists(st.lists(replies, min_size=1, max_size=4), min_size=1, max_size=5), st.data())
def test_every_call_has_its_own_replies_wherever_they_are_cut(calls: list[list[Reply]], data: st.DataObject) -> None:
    told: list[object] = []
    sent = b"".join(encode(reply) for call in calls for reply in call)
    cuts = sorted({0, len(sent), *data.draw(st.lists(st.integers(0, len(sent)), max_size=8))})
    with wired() as wire:
        for call in calls:
            wire.send(PendingReply(b"", len(call), 4.0, told.append))
        for begin, end in pairwise(cuts):
            wire.data_received(sent[begin:end])
        assert not wire.closed
    assert told == calls


def test_lines_errors_and_nulls() -> None:
    ok, error, null = read(b"+OK\r\n-OOM command not allowed\r\n*-1\r\n", count=3)
    assert (ok, null) == (b"OK", None)
    assert isinstance(error, ReplyError)
    assert str(error) == "OOM command not allowed"


def test_an_error_inside_an_array_is_an_item() -> None:
    [[one, error]] = read(b"*2\r\n:1\r\n-ERR no\r\n", count=1)  # type: ignore[misc]  # an array, as the bytes say
    assert one == 1
    assert isinstance(error, ReplyError)


def test_bytes_that_are_no_reply_end_the_connection() -> None:
    told: list[object] = []
    with wired() as wire:
        wire.send(PendingReply(b"", 1, 4.0, told.append))
        wire.data_received(b"HTTP/1.1 400 Bad Request\r\n")
        assert wire.closed
    assert isinstance(told[0], StoreUnavailable)


def test_a_long_reply_in_small_pieces_is_put_together_once() -> None:
    """64 MiB by 64 KiB: put together with each piece, this would copy 32 GiB."""
    size, piece = 64 * 1024 * 1024, b"x" * 64 * 1024
    (reply,) = read(b"$%d\r\n" % size, *[piece] * (size // len(piece)), b"\r\n", count=1)
    assert isinstance(reply, bytes)
    assert len(reply) == size


def test_the_items_of_a_long_array_are_scanned_once() -> None:
    """200,000 items by 1 KiB: from the beginning with each piece, this would scan 200 million."""
    data = encode([b"name"] * 200_000)
    assert read(*[data[at : at + 1024] for at in range(0, len(data), 1024)], count=1) == [[b"name"] * 200_000]


def test_a_reply_that_no_request_waits_for_ends_the_connection() -> None:
    told: list[object] = []
    with wired() as wire:
        wire.send(PendingReply(b"", 1, 4.0, told.append))
        wire.data_received(ZERO + ZERO)
        assert told == [[0]]
        assert wire.closed


@pytest.mark.anyio
async def test_the_call_that_is_first_in_line_has_its_time_and_no_more() -> None:
    """The one timer was set for another call: it looks again, or is set anew, when this one's time ends sooner."""
    wire, told, ended = RedisProtocol(asyncio.get_running_loop()), list[object](), asyncio.Event()
    wire.connection_made(Sink())
    wire.send(PendingReply(b"", 1, 0.5, told.append))
    await asyncio.sleep(0.03)
    wire.data_received(ZERO)
    wire.send(PendingReply(b"", 1, 60, told.append))
    await asyncio.sleep(0.6)
    assert not wire.closed, "the timer of the first call is not the second one's"
    wire.data_received(ZERO)
    wire.send(PendingReply(b"", 1, 0.05, told.append))
    wire.send(PendingReply(b"", 1, 60, lambda _: ended.set()))
    await ended.wait()
    *before, late = told
    assert before == [[0], [0]]
    assert isinstance(late, StoreUnavailable)
    assert late.outcome == "unknown"


@pytest.mark.anyio
async def test_who_raises_at_a_reply_keeps_none_from_those_behind() -> None:
    """Neither does it while the connection ends."""
    wire, got = RedisProtocol(asyncio.get_running_loop()), list[object]()

    def raising(replies: object) -> None:
        got.append(replies)
        raise RuntimeError("not taken")

    wire.connection_made(Sink())
    for _ in range(2):
        for then in (raising, got.append):
            wire.send(PendingReply(b"", 1, 10.0, then))
    wire.data_received(b":1\r\n:2\r\n")
    assert got == [[1], [2]]
    wire.connection_lost(None)
    assert [type(each) for each in got[2:]] == [StoreUnavailable] * 2
    assert wire.gone.done()
    closed = PendingReply(b"", 1, 10.0, raising)
    wire.send(closed)
    assert len(got) == 5
