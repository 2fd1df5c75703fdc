"""Flow control of an HTTP connection: when it reads, and how long the client may leave answers unread."""

from asyncio import AbstractEventLoop, TimerHandle, Transport, WriteTransport
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

from cellar.api.limits.body_memory import BodyMemory
from cellar.errors import Overloaded


class HoldingFlow(FlowControl):
    """uvicorn's flow control, for received bytes that are held. While any are, the socket is not read, and
    `resume_reading` continues with them."""

    def __init__(self, transport: Transport, read_held: Callable[[], None]) -> None:
        super().__init__(transport)
        self.holding = False
        self._read_held = read_held

    def pause_reading(self) -> None:
        """Stop reading."""
        if not self.holding:
            return super().pause_reading()
        self.read_paused = True
        return None

    def resume_reading(self) -> None:
        """Continue with the held bytes, or else read the socket."""
        if not self.holding:
            return super().resume_reading()
        if self.read_paused:
            self.read_paused = False
            self._read_held()
        return None

    def hold(self) -> None:
        """Do not read the socket."""
        if not self.holding:
            if not self.read_paused:
                self._transport.pause_reading()
            self.holding = True

    def resume_socket(self) -> None:
        """Read the socket again, unless the application has stopped reading."""
        if self.holding:
            self.holding = False
            if not self.read_paused:
                self._transport.resume_reading()


LOOK_S = 1.0
"""Seconds between two checks of an answer that is not read. One that is read within this time is never checked."""


class UnreadAnswers:
    """The bytes of answers on one connection that its client has not read yet.

    The transport reports when there are many (`begin`) and when there are few again (`end`). In between, at least
    `least_bytes` must be read in each `patience_s`, and after the first second the rest counts as memory of bodies. The
    connection is aborted when either limit is passed, because the memory cannot be released in another way.
    """

    def __init__(self, loop: AbstractEventLoop, transport: WriteTransport, memory: BodyMemory) -> None:
        self._loop = loop
        self._transport = transport
        self._share = memory.share()
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
        self._look_later()

    def end(self) -> None:
        """End the checks: few bytes are left, or the connection has ended."""
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
        try:
            self._share.resize(left_bytes)
        except Overloaded:
            return self._transport.abort()
        return self._look_later()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(min(LOOK_S, self._patience_s), self.look)
