"""Group commit: decides when the next group of commits is sent to the store, and its largest size.

A group costs several times what one more session in it costs, here and in the store, which writes everything that has
arrived to its disk at once. So at most three groups are in flight: the store always has one to work at, and while its
disk is slow the next group grows. A group that is late is not counted: one server of several may hang, and the others
must not wait for it.

Under load groups also keep a distance. Requests that arrive one by one would fill a group with two or three of them and
make the disk write two thousand times a second, which slows down disks and hosts that limit the number of writes. A
database delays its group commits for the same reason. A lone request is committed at once. Otherwise a group starts
2 ms after the last one, or as soon as as many requests wait as the last group had. If many clients send their next
request as soon as they have an answer, half of the requests are sent: while the store has them, the other half is
computed. That is done whenever the store has been idle for as long as it took for the last group: it then has the time
for one more group, of which most is the write to its disk.
"""

import asyncio
import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from cellar.metrics.counts import COUNTS, ModelCounts
from cellar.metrics.traces import TRACES
from cellar.ports import Commit

logger = logging.getLogger(__name__)

MOST = 3
"""Groups in flight."""

SPACING_S = 0.002
"""Seconds between the starts of groups under load, unless as many requests wait as the last group had."""

FEW = 4
"""The number of works in a group from which on the service is under load: one every half a millisecond."""

LATE_S = 0.25
"""Seconds after which a group is late: much longer than a disk takes to write, much shorter than clients wait."""

UNDIVIDED = 8
"""The number of works up to which a group is never divided in two."""

DIVISION_S = 0.05
"""The least number of seconds between two divisions while the store is busy. Clients that wait for answers stay divided
after one; for clients that do not wait, each division costs one more group."""

Go = Callable[[int], int]
"""A function that sends a group of at most that many works, and returns how many it has sent."""


_QUEUE: Final = COUNTS.queue_s
_KERNEL: Final = COUNTS.kernel_s
_COMMIT: Final = COUNTS.commit_s
_TOTAL: Final = COUNTS.total_s
_BATCH: Final = COUNTS.batch_requests


class CommitInFlight:
    """One group that was sent to the store. Times are those of the monotonic clock, seconds."""

    __slots__ = ("began_s", "ended_s", "kernel_s", "works")

    def __init__(self, works: int, kernel_s: float) -> None:
        self.began_s = monotonic()
        self.ended_s = 0.0
        """When the first results have come."""
        self.kernel_s = kernel_s
        """When the kernel call began whose results are committed; 0 for a change that is not a step."""
        self.works = works
        if kernel_s:
            _KERNEL.sum += self.began_s - kernel_s
            _KERNEL.counts[bisect_left(_KERNEL.bounds, self.began_s - kernel_s)] += 1
            _BATCH.sum += works
            _BATCH.counts[bisect_left(_BATCH.bounds, works)] += 1

    def end(self) -> None:
        """Note that the first results have come."""
        if not self.ended_s:
            self.ended_s = monotonic()
            _COMMIT.sum += self.ended_s - self.began_s
            _COMMIT.counts[bisect_left(_COMMIT.bounds, self.ended_s - self.began_s)] += 1

    def count_steps(self, requests: Sequence[Any], commit: Commit, model: ModelCounts) -> None:
        """Count the committed steps of a session, and the times of the requests unless they are no steps."""
        before, after = commit.before.position, commit.after.position
        if after.epoch == before.epoch:
            model.steps += after.step - before.step
        if not self.kernel_s:
            return
        model.requests += len(requests)
        record = TRACES.record
        for request in requests:
            came_s: float = request.began_s
            _QUEUE.sum += self.kernel_s - came_s
            _QUEUE.counts[bisect_left(_QUEUE.bounds, self.kernel_s - came_s)] += 1
            _TOTAL.sum += self.ended_s - came_s
            _TOTAL.counts[bisect_left(_TOTAL.bounds, self.ended_s - came_s)] += 1
            if record is not None:
                record(request, self.kernel_s, self.began_s, self.ended_s)


class GroupCommit:
    """Counts the groups in flight, and decides when the next one may be sent."""

    def __init__(self, most: int = MOST, spacing_s: float = SPACING_S, division_s: float = DIVISION_S) -> None:
        self._most = most
        self._spacing_s = spacing_s
        self._division_s = division_s
        self._in_flight: list[CommitInFlight] = []
        self._callbacks: list[Go] = []
        """The functions to call when the next group may be sent."""
        self._works = 0
        """The number of works that wait for the next group."""
        self._again = 0
        """The number of those works whose sessions were in one of the last groups."""
        self.number = most
        """The number of the last group; groups of several models that start together share one."""
        self._last = 0
        """The number of waiting works that is enough for another group without a delay: as many as the last one had."""
        self._released = self._taken = 0
        """How many works waited when the last group started, and how many of them it took."""
        self.released_s, self._divided_s = 0.0, -math.inf
        """When the last group was released and when one was divided, by the monotonic clock."""
        self._ended_s = self._took_s = 0.0
        """When the last group ended, and the time from its start to its end."""
        self._rechecks = False
        self._late: asyncio.TimerHandle | None = None
        self._spaced: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether the next group has to wait until one has ended."""
        return len(self._in_flight) >= self._most

    def is_recent(self, number: int) -> bool:
        """Return whether that was the number of one of the last groups."""
        return number > self.number - self._most

    def ask(self, works: int, again: int, go: Go) -> int:
        """Return how many of these works may be sent now; the caller then reports with `took`. 0: `go` is called later.

        The sessions of `again` of them were in one of the last groups.
        """
        self._works += works
        self._again += again
        if not self._callbacks and self._may_release(now_s := monotonic()):
            return self._release(now_s)
        self._callbacks.append(go)
        if len(self._callbacks) > 1:
            self._let_go()
        return 0

    def took(self, works: int) -> None:
        """Count works that were sent, of those that `ask` or `go` allowed."""
        self._taken += works
        # the works that were left are enough for the next group
        self._last = min(self._taken, max(0, self._released - self._taken)) or self._taken

    def more(self, *, again: bool) -> None:
        """Count another work of a batch that waits for `go`."""
        self._works += 1
        self._again += again
        if self._works >= self._last and not self._rechecks:  # works of the same turn of the event loop share the group
            self._rechecks = True
            asyncio.get_running_loop().call_soon(self._recheck)

    def begin(self, works: int, kernel_s: float = 0.0) -> CommitInFlight:
        """Count a group that is sent; `kernel_s` is as of `CommitInFlight`."""
        sent_commit = CommitInFlight(works, kernel_s)
        self._in_flight.append(sent_commit)
        return sent_commit

    def end(self, sent_commit: CommitInFlight) -> None:
        """Count a group as ended. It may have ended before."""
        sent_commit.end()
        if sent_commit in self._in_flight:
            self._in_flight.remove(sent_commit)
            self._ended_s = sent_commit.ended_s
            self._took_s = self._ended_s - sent_commit.began_s
            self._let_go()

    def _recheck(self) -> None:
        self._rechecks = False
        self._let_go()

    def _let_go(self) -> None:
        """Send the next group if it may be sent; else a timer tries again."""
        if self._callbacks and self._may_release(now_s := monotonic()):
            callbacks, self._callbacks = self._callbacks, []
            most = self._release(now_s)
            for go in callbacks:
                self.took(_begun(go, most))

    def next_release_s(self, now_s: float) -> float:
        """Return in how many seconds the next group may be sent: 0.0 for now, infinity if one must end first."""
        if self.full:
            return math.inf
        if self._last >= FEW and not self._are_back():
            return max(0.0, self.released_s + self._spacing_s - now_s)
        return 0.0

    def _may_release(self, now_s: float) -> bool:
        """Return whether the next group may be sent now; if not, a timer tries again."""
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
        """Start the next group, and return how many works it may have."""
        if self._spaced is not None:
            self._spaced.cancel()
            self._spaced = None
        most = self._most_works(now_s)
        self._released, self._taken, self._last = self._works, 0, 0
        self._works, self._again, self.released_s = 0, 0, now_s
        self.number += 1
        return most

    def _are_back(self) -> bool:
        """Return whether as many works wait as the last group had, and nearly all are of sessions that were in it."""
        return self._works >= self._last and 4 * self._again >= 3 * self._works

    def _most_works(self, now_s: float) -> int:
        """Return how many of the waiting works the next group may have: all, or half of them, see above."""
        works = self._works
        half = max(UNDIVIDED, (works + sum([sent_commit.works for sent_commit in self._in_flight]) + 1) // 2)
        if works <= half or not self._are_back():
            return works
        is_idle = not self._in_flight and now_s - self._ended_s >= self._took_s
        if not is_idle and now_s - self._divided_s < self._division_s:
            return works
        self._divided_s = now_s
        return half

    def _end_spacing(self) -> None:
        self._spaced, self._last = None, 0  # timers are coarse: the time is over although the clock may say otherwise
        self._let_go()

    def _give_up_late(self) -> None:
        """Count late groups as ended, and send the next group if any work waits."""
        self._late = None
        late_s = monotonic() - LATE_S
        self._in_flight = [sent_commit for sent_commit in self._in_flight if sent_commit.began_s > late_s]
        self._let_go()


def _begun(go: Go, most: int) -> int:
    try:
        return go(most)
    except Exception:  # the works of other models must not wait for ever
        logger.exception("a group was not sent")
        return 0
