"""Commits on their way to the store: few at a time, and not in small pieces, so that a tick holds what came meanwhile.

A tick costs several times what one more session in it costs, here and in the store, which writes all that has come to
its disk at once. With a few on their way the store always has one to work at, and when its disk is slow for once what
has come meanwhile is written at once; under load the next one grows. One that is late counts no more: of a store of
several servers one may hang, and the others are not to wait for it.

Under load ticks keep a distance as well. Requests that come one by one would fill a tick with two or three of them,
and have the disk written two thousand times a second: then disks whose writes are counted, and hosts that count the
time spent on them, let everybody wait. A database delays its group commits for the same reason. Who is alone waits
for nobody, and neither do those who come again as soon as they are answered: once as many of them are back as went the
last time there is nobody to wait for. Of many of those half go: while the store has them, the others are computed.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from time import monotonic

logger = logging.getLogger(__name__)

MOST = 3

SPACING_S = 0.002
"""Between the beginnings of ticks under load, unless as many have come again as went last."""

FEW = 4
"""Works in a tick from which on there is load: so many come every two milliseconds."""

LATE_S = 0.25
"""Much longer than a disk takes to write, much shorter than a client's patience."""

UNDIVIDED = 8
"""Works that may go in one tick even if they are all that there are."""

DIVISION_S = 0.05
"""Between two divisions: clients who wait for answers stay divided, and of those who do not each costs a tick more."""

Go = Callable[[int], int]
"""Begins a tick of that many works at most, and returns how many it has taken."""


class CommitInFlight:
    """One commit that is on its way."""

    __slots__ = ("began_s", "works")

    def __init__(self, works: int) -> None:
        self.began_s = monotonic()
        self.works = works


class GroupCommit:
    """Counts the commits, and lets those wait who would begin another tick."""

    def __init__(self, most: int = MOST, spacing_s: float = SPACING_S) -> None:
        self._most = most
        self._spacing_s = spacing_s
        self._flying: list[CommitInFlight] = []
        self._asking: list[Go] = []
        self._works = 0
        """That wait for those who ask, and"""
        self._again = 0
        """those among them whose sessions went with one of the last ticks."""
        self.number = most
        """Of the last tick, or of ticks that went together."""
        self._last = 0
        """Works that are enough for another tick, as many as went last, and since when."""
        self._released = self._taken = 0
        """Works that waited for the last tick, and how many of them went."""
        self._last_s = self._divided_s = 0.0
        self._rechecks = False
        self._late: asyncio.TimerHandle | None = None
        self._spaced: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether another tick has to wait for a commit to end."""
        return len(self._flying) >= self._most

    def is_recent(self, number: int) -> bool:
        """Return whether that was the number of one of the last ticks."""
        return number > self.number - self._most

    def ask(self, works: int, again: int, go: Go) -> int:
        """Return how many of these works may go now, after which `took` is called; 0 if `go` will be called later.

        The sessions of `again` of them went with one of the last ticks.
        """
        self._works += works
        self._again += again
        if not self._asking and self._may_release(now_s := monotonic()):
            return self._release(now_s)
        self._asking.append(go)
        if len(self._asking) > 1:
            self._let_go()
        return 0

    def took(self, works: int) -> None:
        """Note how many works have gone, of those that might."""
        self._taken += works
        # those left behind are enough to go next
        self._last = min(self._taken, max(0, self._released - self._taken)) or self._taken

    def more(self, *, again: bool) -> None:
        """Hear that another work waits for one who has asked."""
        self._works += 1
        self._again += again
        if self._works >= self._last and not self._rechecks:  # what else has come to this turn of the loop goes along
            self._rechecks = True
            asyncio.get_running_loop().call_soon(self._recheck)

    def begin(self, works: int) -> CommitInFlight:
        """Note a commit that is sent."""
        sent_commit = CommitInFlight(works)
        self._flying.append(sent_commit)
        return sent_commit

    def end(self, sent_commit: CommitInFlight) -> None:
        """Note that results of it are there; what has ended already does no harm."""
        if sent_commit in self._flying:
            self._flying.remove(sent_commit)
            self._let_go()

    def _recheck(self) -> None:
        self._rechecks = False
        self._let_go()

    def _let_go(self) -> None:
        """Let all go who ask, if they may; else see to it that they will."""
        if self._asking and self._may_release(now_s := monotonic()):
            asking, self._asking = self._asking, []
            most = self._release(now_s)
            for go in asking:
                self.took(_begun(go, most))

    def next_release_s(self, now_s: float) -> float:
        """Return how long those that ask must wait: 0.0 if they may go now, infinity if a commit must end first."""
        if self.full:
            return math.inf
        if self._last >= FEW and not self._are_back():
            return max(0.0, self._last_s + self._spacing_s - now_s)
        return 0.0

    def _may_release(self, now_s: float) -> bool:
        """Return whether those that ask may go; if not, a timer looks again."""
        wait_s = self.next_release_s(now_s)
        if not wait_s:
            return True
        if wait_s == math.inf:
            if self._late is None:
                self._late = asyncio.get_running_loop().call_later(LATE_S, self._give_up_late)
        elif self._spaced is None:
            self._spaced = asyncio.get_running_loop().call_later(wait_s, self._end_spacing)
        return False

    def _release(self, now_s: float) -> int:
        """Begin a tick of all who wait, and return how many works it may have."""
        if self._spaced is not None:
            self._spaced.cancel()
            self._spaced = None
        most = self._most_works(now_s)
        self._released, self._taken, self._last = self._works, 0, 0
        self._works, self._again, self._last_s = 0, 0, now_s
        self.number += 1
        return most

    def _are_back(self) -> bool:
        """Return whether as many wait as went last, nearly all of whom have come again."""
        return self._works >= self._last and 4 * self._again >= 3 * self._works

    def _most_works(self, now_s: float) -> int:
        """Return how many of those that wait may go: half of all who come again and again, now and then."""
        works = self._works
        half = max(UNDIVIDED, (works + sum([sent_commit.works for sent_commit in self._flying]) + 1) // 2)
        if works <= half or now_s - self._divided_s < DIVISION_S or not self._are_back():
            return works
        self._divided_s = now_s
        return half

    def _end_spacing(self) -> None:
        self._spaced, self._last = None, 0  # timers are coarse, so this one's word counts and not the clock's
        self._let_go()

    def _give_up_late(self) -> None:
        """Give up those that are late, and look again as long as anybody waits."""
        self._late = None
        late_s = monotonic() - LATE_S
        self._flying = [sent_commit for sent_commit in self._flying if sent_commit.began_s > late_s]
        self._let_go()


def _begun(go: Go, most: int) -> int:
    try:
        return go(most)
    except Exception:  # of one network; the others would wait for their turn for ever
        logger.exception("a tick did not begin")
        return 0
