"""Pings that detect clients which are no longer connected."""

import asyncio
from collections.abc import Callable
from secrets import token_bytes

PING_S = 20.0
"""Time between two pings, within which a client must answer. Usual proxies keep an idle connection longer."""

PING_BYTES = 4


class KeepAlive:
    """Pings a client at an interval. A ping that is not answered before the next one is due ends the connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_s: float | None,
        ping: Callable[[bytes], None],
        give_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._interval_s = interval_s
        self._ping = ping
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None
        self._unanswered: bytes | None = None
        """The payload of the last ping; None once it was answered."""

    def start(self) -> None:
        """Ping after the interval. With an interval of None there are no pings."""
        if self._interval_s is not None:
            self._timer = self._loop.call_later(self._interval_s, self._next)

    def pong(self, payload: bytes) -> None:
        """Store an answer. One that is not to the last ping is ignored."""
        if payload == self._unanswered:
            self._unanswered = None

    def stop(self) -> None:
        """End the pings."""
        if self._timer is not None:
            self._timer.cancel()

    def _next(self) -> None:
        if self._unanswered is not None:
            return self._give_up()
        self._unanswered = token_bytes(PING_BYTES)
        self._ping(self._unanswered)
        return self.start()
