"""Connections whose request was refused because too many wait are read again when it is their turn.

To read a request and refuse it takes half as long as to answer it. Clients that send the next one as soon as they are
refused would take the time in which others are answered. So what they send stays in their sockets for a while: their
system slows them down, and nothing is lost. They were told to come again after a second at the soonest (`Retry-After`).
"""

import asyncio
from collections import deque
from time import monotonic
from typing import Protocol

SHARE = 0.2
"""Of the answers to steps, so many refusals are free: they take about a tenth of the time of what is answered."""

A_SECOND = 500
"""Refusals a second that are free besides, for a fortieth of the time: a connection may be shared with patient clients,
so it is left alone only where it has to be."""

MOST_FREE = 50
"""Refusals that may be saved up."""

ROOM_SHARE = 16
"""One in so many of those that wait is read again when nothing was refused since the last look."""

LONGEST_S = 2.0
"""No connection is left alone for longer."""

TICK_S = 0.01
"""How often it is looked whose turn it is."""


class Held(Protocol):
    """A connection that can wait."""

    def go_on(self, since_s: float) -> None:
        """Read again what was not read since then."""
        ...


class ReadBackoff:
    """The connections of a process that wait for their turn. The one that was refused first is read first."""

    def __init__(self) -> None:
        self._held: deque[tuple[Held, float]] = deque()
        self.free = 0.0
        """Refusals that are free by now. Each answer to a step adds SHARE of one."""
        self._looked_s = 0.0
        self._refuses = False
        """Whether any was refused since it was looked whose turn it is."""
        self._timer: asyncio.TimerHandle | None = None

    def must_wait(self) -> bool:
        """Return whether a connection that was refused just now is left alone; few refusals a second are free."""
        self._earn()
        self._refuses = True
        if self._held or self.free < 1:
            return True
        self.free -= 1
        return False

    def add(self, connection: Held) -> None:
        """Have the connection read when it is its turn."""
        self._held.append((connection, monotonic()))
        self._look_later()

    def _earn(self) -> float:
        now_s = monotonic()
        self.free = min(MOST_FREE, self.free + A_SECOND * (now_s - self._looked_s))
        self._looked_s = now_s
        return now_s

    def _look_later(self) -> None:
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        late_s = self._earn() - LONGEST_S
        if not self._refuses:  # there is room
            self.free = max(self.free, len(self._held) / ROOM_SHARE, 1)
        self._refuses = False
        while self._held and (self.free >= 1 or self._held[0][1] <= late_s):
            self.free = max(0.0, self.free - 1)
            connection, since_s = self._held.popleft()
            connection.go_on(since_s)
        self._look_later()
