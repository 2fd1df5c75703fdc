"""Restarts the private Redis when it has ended while the service runs."""

import logging
from collections.abc import Callable

from cellar.embedded.processes import RestartBackoff
from cellar.embedded.server import PrivateRedis
from cellar.errors import StartupError

log = logging.getLogger(__name__)

BACKOFF_S = (0.1, 2.0)
"""The first and the longest pause between two starts: short, so that sessions work again soon after a full disk."""

STEADY_S = 10.0
"""After a run of this length the next pause is the first again, seconds."""

REPEAT_S = 60.0
"""Least time between two log entries with the same reason, seconds."""


class RedisKeeper:
    """Restarts the private Redis with growing pauses, and logs why it ended."""

    def __init__(self, server: PrivateRedis, now_s: Callable[[], float]) -> None:
        self._server = server
        self._now_s = now_s
        self._backoff = RestartBackoff(*BACKOFF_S, STEADY_S)
        self._backoff.started(now_s())
        self._is_down = False
        self._logged: tuple[str, float] = ("", float("-inf"))
        """The reason that was logged last, and when."""

    def keep(self) -> None:
        """Check the server once. Child processes of the service reconnect to a restarted server by themselves."""
        now_s = self._now_s()
        if not self._is_down:
            if self._server.is_running():
                return
            self._is_down = True
            self._failed(now_s, f"it has ended: {self._server.last_words()}")
        elif self._backoff.is_due(now_s):
            self._start(now_s)

    def _start(self, now_s: float) -> None:
        self._backoff.started(now_s)
        try:
            self._server.ensure()
        except (StartupError, OSError) as error:
            self._failed(now_s, f"it cannot be started: {error.detail if isinstance(error, StartupError) else error}")
        else:
            self._is_down = False

    def _failed(self, now_s: float, reason: str) -> None:
        pause_s = self._backoff.failed(now_s)
        text, logged_s = self._logged
        if reason != text or now_s - logged_s >= REPEAT_S:
            self._logged = reason, now_s
            log.error("the private Redis does not run: %s (the next try is in %.1f s)", reason, pause_s)
