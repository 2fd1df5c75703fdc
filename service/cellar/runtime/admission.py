"""How many requests may wait: no more than a number, and no more than are answered in a bounded time.

A queue that grows faster than it is worked off makes everybody wait longer and longer, until all give up after the
work was done. Refused at once, a client comes again when there is room.
"""

import math

from cellar.errors import Overloaded

FEW = 64
"""So many may wait in any case: how fast they are answered says little."""

SPAN_S = 0.1
"""How long answers are counted before their rate is believed."""

A_SHARE = 4
"""One in so many of those that wait must have been answered, or half of the time gone by in which all should be."""

LONGEST_S = 30
"""Nobody is told to come again later than this."""

WEIGHT = 0.5
"""Of the newest span in the rate: it follows a change within half a second."""


class Admission:
    """Counts the requests that wait, and how fast they are answered. Times are those of one clock, in seconds."""

    def __init__(self, most: int, wait_s: float) -> None:
        self.most = most
        """Requests that may wait; no burst may have more."""
        self._wait_s = wait_s
        self.waiting = 0
        self._rate: float | None = None
        """Answers a second while anybody waits; None if that is not known."""
        self._since_s = 0.0
        self._answered = 0

    def enter(self, now_s: float, requests: int = 1) -> None:
        """Let requests wait. Raise Overloaded if there are too many, or it would take too long."""
        self._look(now_s)
        if self.waiting + requests > self.most:
            raise Overloaded("too many requests are waiting", retry_after_s=self._retry_after_s())
        if self.waiting >= FEW and self._is_slow(now_s):
            detail = f"the requests that wait would take longer than {self._wait_s:g} s"
            raise Overloaded(detail, retry_after_s=self._retry_after_s())
        self.waiting += requests

    def leave(self, requests: int = 1) -> None:
        """Note that requests that waited are answered."""
        self.waiting -= requests
        self._answered += requests

    def _look(self, now_s: float) -> None:
        """Learn the rate, if there were answers for a while.

        Not with each answer: those of one call come all at once, and after the first of them the rate would be wrong.
        Nor soon with few of many: a burst whose first answers are late would look as if it took forever.
        """
        if self.waiting < FEW:  # one slow request in a quiet hour says nothing of how long many would wait
            self._rate, self._since_s, self._answered = None, now_s, 0
            return
        passed_s = now_s - self._since_s
        enough = self._answered * A_SHARE >= self.waiting or (self._answered and passed_s >= self._wait_s / 2)
        if passed_s >= SPAN_S and enough:
            rate = self._answered / passed_s
            self._rate = rate if self._rate is None else WEIGHT * rate + (1 - WEIGHT) * self._rate
            self._since_s, self._answered = now_s, 0

    def _is_slow(self, now_s: float) -> bool:
        if not self._answered and now_s - self._since_s > self._wait_s:
            return True  # nobody was answered for so long
        return self._rate is not None and self.waiting / self._rate > self._wait_s

    def _retry_after_s(self) -> int:
        return min(LONGEST_S, max(1, math.ceil(self.waiting / self._rate))) if self._rate else 1
