"""Commits on their way to the store: few at a time, and not in small pieces, so that a tick holds what came meanwhile.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With two on their way the store always has one to work at, and under load the next one grows. One
that is late counts no more: of a store of several servers one may hang, and the others are not to wait for it.

Under load ticks keep a distance as well. Requests that come one by one would fill a tick with two or three of them,
and have the disk written two thousand times a second: then disks whose writes are counted, and hosts that count the
time spent on them, let everybody wait. A database delays its group commits for the same reason. Who is alone waits
for nobody, and neither do as many as went the last time: where all who wait for answers have come back there is
nobody to wait for. Of many that are all there half go: while the store has them, the others are computed.
"""

import asyncio
from collections.abc import Callable
from time import monotonic

MOST = 2

SPACING_S = 0.002
"""Between the beginnings of ticks under load: five hundred writes to the disk a second."""

FEW = 4
"""Works in a tick from which on there is load: so many come every two milliseconds."""

LATE_S = 0.25
"""Much longer than a disk takes to write, much shorter than a client's patience."""

UNDIVIDED = 8
"""Works that may go in one tick even if they are all that there are."""

Go = Callable[[int], int]
"""Begins a tick of that many works at most, and returns how many it has taken."""


class Flight:
    """One commit that is on its way."""

    __slots__ = ("began_s", "works")

    def __init__(self, works: int) -> None:
        self.began_s = monotonic()
        self.works = works


class Flights:
    """Counts the commits, and lets those wait who would begin another tick."""

    def __init__(self, most: int = MOST, spacing_s: float = SPACING_S) -> None:
        self._most = most
        self._spacing_s = spacing_s
        self._flying: list[Flight] = []
        self._asking: list[Go] = []
        self._works = 0
        """That wait for those who ask."""
        self._last = 0
        """Works that are enough for another tick, as many as went last, and since when."""
        self._last_s = 0.0
        self._rechecks = False
        self._late: asyncio.TimerHandle | None = None
        self._spaced: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether another tick has to wait for a commit to end."""
        return len(self._flying) >= self._most

    def ask(self, works: int, go: Go) -> None:
        """Call `go` once a tick may begin, at once if it may now. So many works wait for that."""
        self._asking.append(go)
        self._works += works
        self._let_go()

    def more(self) -> None:
        """Hear that another work waits for one who has asked."""
        self._works += 1
        if self._works == self._last and not self._rechecks:  # what else has come to this turn of the loop goes along
            self._rechecks = True
            asyncio.get_running_loop().call_soon(self._recheck)

    def begin(self, works: int) -> Flight:
        """Note a commit that is sent."""
        flight = Flight(works)
        self._flying.append(flight)
        return flight

    def end(self, flight: Flight) -> None:
        """Note that results of it are there; what has ended already does no harm."""
        if flight in self._flying:
            self._flying.remove(flight)
            self._let_go()

    def _recheck(self) -> None:
        self._rechecks = False
        self._let_go()

    def _let_go(self) -> None:
        """Let all go who ask, if they may; else see to it that they will."""
        if not self._asking:
            return
        if self.full:
            if self._late is None:
                self._late = asyncio.get_running_loop().call_later(LATE_S, self._give_up_late)
            return
        now_s = monotonic()
        if FEW <= self._last > self._works:
            left_s = self._last_s + self._spacing_s - now_s
            if left_s > 0:
                if self._spaced is None:
                    self._spaced = asyncio.get_running_loop().call_later(left_s, self._end_spacing)
                return
        if self._spaced is not None:
            self._spaced.cancel()
            self._spaced = None
        half = (self._works + sum([flight.works for flight in self._flying]) + 1) // 2
        asking, works = self._asking, self._works
        self._asking, self._works, self._last_s = [], 0, now_s
        taken = sum([go(max(UNDIVIDED, half)) for go in asking])
        self._last = min(taken, works - taken) or taken  # those left behind are enough to go next

    def _end_spacing(self) -> None:
        self._spaced, self._last = None, 0  # timers are coarse, so this one's word counts and not the clock's
        self._let_go()

    def _give_up_late(self) -> None:
        """Give up those that are late, and look again as long as anybody waits."""
        self._late = None
        late_s = monotonic() - LATE_S
        self._flying = [flight for flight in self._flying if flight.began_s > late_s]
        self._let_go()
