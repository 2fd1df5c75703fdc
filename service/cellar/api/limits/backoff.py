"""Back-off after overload: a connection whose requests were refused is not read for a while.

To read a request and refuse it takes half as long as to answer it. Clients that send the next request as soon as one is
refused would use the time in which others are answered. Their requests therefore stay in the sockets for a while: TCP
slows these clients down, and nothing is lost. The refusal told them to wait a second (`Retry-After`).

The connections are read again one after the other, those of all tenants in turn. If many were read at once, their
requests would come as a burst, for which the requests of all others would wait. So would they if the connections of a
tenant had to wait for those of another one, because meanwhile the tenant's quota would be saved up.
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

ROOM_S = 0.01
"""If nothing was refused for this time, there is room for more."""

ROOM_SHARE = 80
"""While there is room, one in this number of waiting connections is read again at a check."""

LONGEST_S = 2.0
"""Time after which a connection is read again in any case."""

MOST_LATE = 16
"""Most connections that are read again at a check because of that. Their refusals take 0.6 ms."""

TICK_S = 0.002
"""Interval of the checks whose turn it is."""

ReadAgain = Callable[[float], None]
"""Reads a connection again, which was not read since the given time."""


class Held:
    """A connection that is not read."""

    __slots__ = ("read_again", "since_s", "waits")

    def __init__(self, read_again: ReadAgain) -> None:
        self.read_again = read_again
        self.since_s = monotonic()
        self.waits = True

    def end(self) -> None:
        """Read it again."""
        self.waits = False
        self.read_again(self.since_s)


class ReadBackoff:
    """The connections of a process that wait to be read again: tenants in turn, each in the order of its refusals."""

    def __init__(self) -> None:
        self.waiting = 0
        """Number of connections that wait."""
        self.free = 0.0
        """Refusals that need no back-off now. Each answer to a step adds SHARE."""
        self._of_tenants: dict[str, deque[Held]] = {}
        """The connections by tenant; the tenant whose turn it is comes first. Some may not wait any more."""
        self._of_all: deque[Held] = deque()
        """The same connections in the order of all refusals."""
        self._looked_s = 0.0
        self._refused_s = 0.0
        """When a request was refused last."""
        self._timer: asyncio.TimerHandle | None = None

    def must_wait(self) -> bool:
        """Return whether a connection must wait whose request was just refused."""
        self._refused_s = self._earn()
        if self.waiting or self.free < 1:
            return True
        self.free -= 1
        return False

    def add(self, tenant: str, read_again: ReadAgain) -> None:
        """Add a connection. In its turn `read_again` is called with the time since which it was not read."""
        held = Held(read_again)
        self._of_tenants.setdefault(tenant, deque()).append(held)
        self._of_all.append(held)
        self.waiting += 1
        self._look_later()

    def _earn(self) -> float:
        now_s = monotonic()
        self.free = min(MOST_FREE, self.free + A_SECOND * (now_s - self._looked_s))
        self._looked_s = now_s
        return now_s

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = self._earn()
        if now_s - self._refused_s >= ROOM_S:
            self.free = max(self.free, self.waiting / ROOM_SHARE, 1)
        while self.waiting and self.free >= 1:
            self.free -= 1
            self._end(self._next())
        late = MOST_LATE
        while self._of_all and (not self._of_all[0].waits or (late and self._of_all[0].since_s <= now_s - LONGEST_S)):
            held = self._of_all.popleft()
            if held.waits:
                late -= 1
                self._end(held)
        if self.waiting:
            self._look_later()
        else:
            self._of_tenants.clear()

    def _end(self, held: Held) -> None:
        self.waiting -= 1
        held.end()

    def _next(self) -> Held:
        """Return the next connection of the tenant whose turn it is."""
        while True:
            tenant = next(iter(self._of_tenants))
            of_tenant = self._of_tenants.pop(tenant)
            held = of_tenant.popleft()
            if of_tenant:
                self._of_tenants[tenant] = of_tenant
            if held.waits:
                return held
