"""Answers that a client takes slowly, or not at all: bounded in time, and in memory all together."""

from asyncio import AbstractEventLoop, TimerHandle, WriteTransport

from cellar.api.limits.body_memory import BodyMemory
from cellar.errors import Overloaded

LOOK_S = 1.0
"""Between two looks at what is left of an answer, seconds. One that is taken within this time is never looked at."""


class UnreadAnswers:
    """What a client has not taken yet of the answers on its connection.

    The transport tells when there is much of it (`begin`) and when there is little again (`end`). In between, at least
    `least_bytes` must be taken over each `patience_s`, and after the first second what is left counts as memory of
    bodies. The connection is cut off where either limit is passed: there is no other way to get the memory back.
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
        """How much was left then."""

    def begin(self, patience_s: float, least_bytes: float) -> None:
        """Begin to look at what is left."""
        self.end()
        self._patience_s, self._least_bytes = patience_s, least_bytes
        self._since_s, self._left_bytes = self._loop.time(), self._transport.get_write_buffer_size()
        self._look_later()

    def end(self) -> None:
        """Look no more: what is left is little, or the connection has ended."""
        self._share.release()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Cut the connection off if its client is too slow, or if too much is left on all of them."""
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
