"""How long a client may leave answers unread, and the memory that they take meanwhile."""

from asyncio import AbstractEventLoop, TimerHandle, WriteTransport

from cellar.errors import Overloaded
from cellar.memory.request_memory import RequestMemory

LOOK_S = 1.0
"""Seconds between two checks of an answer that is not read. One that is read within this time is never checked."""


class UnreadAnswers:
    """The bytes of answers on one connection that its client has not read yet.

    The transport reports when there are many (`begin`) and when there are few again (`end`). In between, at least
    `least_bytes` must be read in each `patience_s`. They count as memory of requests, for the first second whatever the
    limit. The connection is aborted when either limit is passed, because the memory cannot be released in another way.
    """

    def __init__(self, loop: AbstractEventLoop, transport: WriteTransport, memory: RequestMemory) -> None:
        self._loop = loop
        self._transport = transport
        self._memory = memory
        self._share = memory.reservation()
        self._new_bytes = 0
        """Bytes that are counted without a check, because the first second is not over."""
        self._timer: TimerHandle | None = None
        self._patience_s = self._least_bytes = 0.0
        self._since_s = 0.0
        """When the present window of `patience_s` began, by the loop's clock."""
        self._left_bytes = 0
        """Bytes that were not read then."""

    def begin(self, patience_s: float, least_bytes: float) -> None:
        """Begin to check."""
        self.end()
        self._patience_s, self._least_bytes = patience_s, least_bytes
        self._since_s, self._left_bytes = self._loop.time(), self._transport.get_write_buffer_size()
        self._share.hold(self._left_bytes)
        self._new_bytes = self._left_bytes
        self._memory.new_bytes += self._new_bytes
        self._look_later()

    def end(self) -> None:
        """End the checks: few bytes are left, or the connection has ended."""
        self._end_first_second()
        self._share.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Abort the connection if its client is too slow, or if all connections together hold too much."""
        now_s, left_bytes = self._loop.time(), self._transport.get_write_buffer_size()
        if now_s - self._since_s >= self._patience_s:
            if self._left_bytes - left_bytes < self._least_bytes:
                return self._transport.abort()
            self._since_s, self._left_bytes = now_s, left_bytes
        self._end_first_second()
        self._share.release()
        try:
            self._share.keep(left_bytes)
        except Overloaded:
            return self._transport.abort()
        return self._look_later()

    def _end_first_second(self) -> None:
        self._memory.new_bytes -= self._new_bytes
        self._new_bytes = 0

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(min(LOOK_S, self._patience_s), self.look)
