"""An asyncio protocol that sends calls to Redis in order and assigns the replies to them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import cast

from hiredis import Reader

from cellar.errors import StoreUnavailable
from cellar.store.protocol.errors import lost
from cellar.store.protocol.resp import Reply, ReplyError

logger = logging.getLogger(__name__)

_INCOMPLETE = object()
"""Returned by the reader for an incomplete reply."""

Then = Callable[[list[Reply] | StoreUnavailable | ReplyError], None]
"""Is called with the replies to a call, or the error why there are none."""


class PendingReply:
    """Commands that are sent in one write, and their `count` replies so far. `then` is called exactly once."""

    __slots__ = ("count", "data", "replies", "then", "timeout_s")

    def __init__(self, data: bytes, count: int, timeout_s: float, then: Then) -> None:
        self.data = data
        self.count = count
        self.timeout_s = timeout_s
        self.then = then
        self.replies: list[Reply] = []

    def end(self, outcome: list[Reply] | StoreUnavailable | ReplyError) -> None:
        """Call `then`. Its exceptions are logged, because other calls of the connection still need their replies."""
        try:
            self.then(outcome)
        except Exception:
            logger.exception("the replies to %d commands were not taken", self.count)


class RedisProtocol(asyncio.Protocol):
    """The connection. It is closed when a reply is late, because later replies could not be assigned any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(protocolError=ValueError, replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._calls: deque[PendingReply] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = self._late_s = 0.0
        self.closed = False
        self.gone: asyncio.Future[None] = loop.create_future()

    def send(self, call: PendingReply) -> None:
        """Write the commands of a call. Its timeout begins when the calls before it have their replies."""
        if self._transport is None or self.closed:
            return call.end(lost("not_applied"))
        self._calls.append(call)
        if len(self._calls) == 1:
            self._watch(call)
        self._transport.write(call.data)
        return None

    def abort(self) -> None:
        """Close at once. Calls without replies end with an unknown outcome."""
        self._end()
        if self._transport is not None:
            self._transport.abort()
        elif not self.gone.done():
            self.gone.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, or close it if `abort` was called meanwhile."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Assign the complete replies to the waiting calls, in order."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                call = self._calls[0]
                call.replies.append(reply)
                if len(call.replies) == call.count:
                    self._answer(call)
        except Exception:  # not RESP, or more replies than commands: they cannot be assigned any more
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names the argument
        """End the waiting calls with an unknown outcome."""
        self._end()
        if not self.gone.done():
            self.gone.set_result(None)

    def _answer(self, call: PendingReply) -> None:
        """End the first waiting call, which has all of its replies."""
        self._calls.popleft()
        if self._calls:
            self._watch(self._calls[0])
        call.end(call.replies)

    def _end(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.end(lost("unknown"))

    # --- timeouts: one timer for all calls, which checks the first one when it fires; a timer each would cost more ---

    def _watch(self, call: PendingReply) -> None:
        """Start the timeout of the first waiting call."""
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
