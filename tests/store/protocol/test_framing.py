"""Replies to calls, in whatever pieces they come; and the one timer that all calls share."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import StoreUnavailable
from cellar.store.connection.transaction import LEAST, MOST, ZERO, zeros
from cellar.store.protocol.framing import PendingReply, RedisProtocol
from cellar.store.protocol.resp import Reply, ReplyParser

SOMETHING_ELSE = [b":7\r\n", b"$3\r\na\r\n\r\n", b"*2\r\n$4\r\ngone\r\n:0\r\n", b"-OOM no\r\n", b"+0\r\n", b":0\r\n"]


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


def read(data: bytes) -> list[Reply]:
    return ReplyParser().feed(data)


@st.composite
def answers(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """Return for some calls what each expects, and what it gets: with luck the same."""
    found = []
    for _ in range(draw(st.integers(1, 5))):
        count = draw(st.integers(1, 4))
        replies = [ZERO] * count
        if draw(st.booleans()):
            replies[draw(st.integers(0, count - 1))] = draw(st.sampled_from(SOMETHING_ELSE))
        found.append((draw(st.sampled_from([ZERO * count, b""])), b"".join(replies)))
    return found


@given(answers(), st.data())
def test_every_call_has_its_own_replies_wherever_they_are_cut(
    expected_and_got: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    told: list[object] = []
    sent = b"".join(got for _, got in expected_and_got)
    cuts = sorted({0, len(sent), *data.draw(st.lists(st.integers(0, len(sent)), max_size=8))})
    with wired() as wire:
        for expected, got in expected_and_got:
            wire.send(PendingReply(b"", len(read(got)), 4.0, told.append, expected))
        for begin, end in pairwise(cuts):
            wire.data_received(sent[begin:end])
        assert not wire.closed
    for then, (expected, got) in zip(told, expected_and_got, strict=True):
        assert (then is None and got == expected) or repr(then) == repr(read(got))


@pytest.mark.parametrize("count", [1, LEAST - 1, LEAST, MOST, MOST + 1, MOST + LEAST, 3 * MOST])
def test_ticks_that_nobody_disputes_are_recognised_whole(count: int) -> None:
    told: list[object] = []
    expected = zeros(count)
    with wired() as wire:
        for _ in range(2):
            wire.send(PendingReply(b"", len(read(expected)), 4.0, told.append, expected))
        for at in range(0, 2 * len(expected), 1000):
            wire.data_received((expected * 2)[at : at + 1000])
    assert told == [None, None]


def test_a_reply_that_nobody_waits_for_ends_the_connection() -> None:
    told: list[object] = []
    with wired() as wire:
        wire.send(PendingReply(b"", 1, 4.0, told.append, ZERO))
        wire.data_received(ZERO + ZERO)
        assert told == [None]
        assert wire.closed


@pytest.mark.anyio
async def test_the_call_that_is_first_in_line_has_its_time_and_no_more() -> None:
    """The one timer was set for another call: it looks again, or is set anew, when this one's time ends sooner."""
    wire, told, ended = RedisProtocol(asyncio.get_running_loop()), list[object](), asyncio.Event()
    wire.connection_made(Sink())
    wire.send(PendingReply(b"", 1, 0.05, told.append, ZERO))
    await asyncio.sleep(0.03)
    wire.data_received(ZERO)
    wire.send(PendingReply(b"", 1, 60, told.append, ZERO))
    await asyncio.sleep(0.1)
    assert not wire.closed, "the timer of the first call is not the second one's"
    wire.data_received(ZERO)
    wire.send(PendingReply(b"", 1, 0.05, told.append, ZERO))
    wire.send(PendingReply(b"", 1, 60, lambda _: ended.set(), ZERO))
    await ended.wait()
    *before, late = told
    assert before == [None, None]
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
