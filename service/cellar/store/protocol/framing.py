"""One connection to a Redis, from its making to its end: calls go out in their order, and replies come back in it.

A tick of commits is nearly always answered with 0 for each of them, so its call says what bytes that would be: as long
as those come they are compared, a run at a time, and not read one by one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import cast

from cellar.errors import StoreUnavailable
from cellar.store.protocol.errors import lost
from cellar.store.protocol.resp import Reply, ReplyError, ReplyParser

logger = logging.getLogger(__name__)

Then = Callable[[list[Reply] | StoreUnavailable | ReplyError | None], None]
"""Is given the replies of a call, None for those that were expected, or why there are none."""


class PendingReply:
    """Commands that are sent in one write, and what has come of their replies.

    `then` is called once: with the replies, `count` of them; with None if they are `expected`, byte for byte; or with
    why there are none.
    """

    __slots__ = ("at", "count", "data", "expected", "replies", "then", "timeout_s")

    def __init__(self, data: bytes, count: int, timeout_s: float, then: Then, expected: bytes = b"") -> None:
        self.data = data
        self.count = count
        self.timeout_s = timeout_s
        self.then = then
        self.expected = expected
        self.at = 0
        self.replies: list[Reply] = []

    def end(self, outcome: list[Reply] | StoreUnavailable | ReplyError | None) -> None:
        """Call `then`. What it raises is logged: the other calls of the connection must still get their replies."""
        try:
            self.then(outcome)
        except Exception:
            logger.exception("the replies to %d commands were not taken", self.count)


class RedisProtocol(asyncio.Protocol):
    """The connection. It ends when a reply is late: the order of those after it would be lost with it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._calls: deque[PendingReply] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = self._late_s = 0.0
        self.closed = False
        self.gone: asyncio.Future[None] = loop.create_future()

    def send(self, call: PendingReply) -> None:
        """Write the commands of a call.

        Its timeout counts from when the calls before have their replies: they may be waiting for replicas.
        """
        if self._transport is None or self.closed:
            return call.end(lost("not_applied"))
        self._calls.append(call)
        if len(self._calls) == 1:
            self._watch(call)
        self._transport.write(call.data)
        return None

    def abort(self) -> None:
        """Close at once. Replies that have not come never will."""
        self._end()
        if self._transport is not None:
            self._transport.abort()
        elif not self.gone.done():
            self.gone.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless it was given up meanwhile."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give the replies that are complete to the calls that wait, in their order."""
        while self._calls:
            call = self._calls[0]
            if not call.expected or self._parser.busy:
                break
            left = call.expected[call.at :] if call.at else call.expected
            if data.startswith(left):
                self._answer(None)
                if len(data) == len(left):
                    return
                data = data[len(left) :]
            elif left.startswith(data):
                call.at += len(data)
                return
            else:
                data = call.expected[: call.at] + data
                call.expected = b""
        self._read(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names the argument
        """End the calls that wait: what became of their commands is unknown."""
        self._end()
        if not self.gone.done():
            self.gone.set_result(None)

    def _read(self, data: bytes) -> None:
        try:
            replies = self._parser.feed(data)
        except Exception:  # bytes that are no replies: where the next one begins is not known any more
            return self.abort()
        for reply in replies:
            if not self._calls:
                return self.abort()
            call = self._calls[0]
            call.expected = b""
            call.replies.append(reply)
            if len(call.replies) == call.count:
                self._answer(call.replies)
        return None

    def _answer(self, replies: list[Reply] | None) -> None:
        """End the call that is first in line."""
        call = self._calls.popleft()
        if self._calls:
            self._watch(self._calls[0])
        call.end(replies)

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.end(lost("unknown"))

    # --- time: a timer for each call would cost more than its bytes, so there is one, which looks when it rings ---

    def _watch(self, call: PendingReply) -> None:
        """Give the call that is first in line its time."""
        self._late_s = self._loop.time() + call.timeout_s
        if self._timer is None or self._late_s < self._rings_s:
            self._set_timer(call.timeout_s)

    def _set_timer(self, left_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = self._late_s
        self._timer = self._loop.call_later(left_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if not self._calls:
            return
        left_s = self._late_s - self._loop.time()
        if left_s > 0:
            self._set_timer(left_s)
        else:
            self.abort()
