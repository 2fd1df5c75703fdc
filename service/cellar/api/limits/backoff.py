"""Back-off after overload: a connection whose requests were refused is not read for a while.

To read a request and refuse it takes half as long as to answer it. Clients that send the next request as soon as one is
refused would use the time in which others are answered. Their requests therefore stay in the sockets for a while: TCP
slows these clients down, and nothing is lost. The refusal told them to wait a second (`Retry-After`).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

SHARE = 0.2
"""Refusals without back-off for each answered step. They take about a tenth of the time of the answers."""

A_SECOND = 500
"""Further refusals a second without back-off, in a fortieth of the time: a connection may be shared by several clients,
so it is delayed only if necessary."""

MOST_FREE = 50
"""Most refusals without back-off that can be saved up."""

ROOM_SHARE = 16
"""If nothing was refused since the last check, one in this number of waiting connections is read again."""

LONGEST_S = 2.0
"""Longest time for which a connection is not read."""

TICK_S = 0.01
"""Interval of the checks whose turn it is."""


class ReadBackoff:
    """The connections of a process that wait to be read again, in the order of their refusals."""

    def __init__(self) -> None:
        self._held: deque[tuple[Callable[[float], None], float]] = deque()
        self.free = 0.0
        """Refusals that need no back-off now. Each answer to a step adds SHARE."""
        self._looked_s = 0.0
        self._refuses = False
        """Whether a request was refused since the last check."""
        self._timer: asyncio.TimerHandle | None = None

    def must_wait(self) -> bool:
        """Return whether a connection must wait whose request was just refused."""
        self._earn()
        self._refuses = True
        if self._held or self.free < 1:
            return True
        self.free -= 1
        return False

    def add(self, read_again: Callable[[float], None]) -> None:
        """Add a connection. In its turn `read_again` is called with the time since which it was not read."""
        self._held.append((read_again, monotonic()))
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
            read_again, since_s = self._held.popleft()
            read_again(since_s)
        self._look_later()
