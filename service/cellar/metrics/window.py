"""Rates and quantiles over the last minute, from the counters at its start and at its end."""

from collections import deque
from itertools import pairwise

from cellar.metrics.catalogue import BY_NAME, Labels
from cellar.metrics.snapshot import Series

WINDOW_S = 60.0
"""Length of the window, seconds."""

SAMPLE_S = 5.0
"""Seconds between two records."""


class Window:
    """The counters of a service at several times. Times are those of the monotonic clock, seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Series]] = deque()

    def add(self, now_s: float, series: Series) -> None:
        """Record the counters, and forget those from before the window."""
        self._samples.append((now_s, series))
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - WINDOW_S:
            self._samples.popleft()

    def since(self, now_s: float, series: Series) -> "Change":
        """Return the change from the start of the window to now. Without a record nothing has changed."""
        began_s, before = self._samples[0] if self._samples else (now_s, series)
        return Change(now_s - began_s, before, series)


class Change:
    """The change of counters over some seconds."""

    def __init__(self, seconds: float, before: Series, after: Series) -> None:
        self.seconds = seconds
        self._before = before
        self._after = after

    def rate(self, name: str, labels: Labels) -> float:
        """Return the change of a counter in a second."""
        if not self.seconds:
            return 0.0
        grown = _number(self._after, name, labels) - _number(self._before, name, labels)
        return max(0.0, grown) / self.seconds

    def quantiles(self, name: str, shares: tuple[float, ...]) -> list[float] | None:
        """Return quantiles of what a histogram has counted, None if that is nothing.

        Within a bucket values are assumed to be uniform, as Prometheus' histogram_quantile does; those above all bounds
        count as the highest bound.
        """
        after = self._after.get(name, {}).get((), ())
        if not isinstance(after, tuple):
            return None
        before = self._before.get(name, {}).get((), ())
        counts = list(after[1:])
        if isinstance(before, tuple) and len(before) == len(after):
            counts = [max(0.0, a - b) for a, b in zip(after[1:], before[1:], strict=True)]
        total = sum(counts)
        return [_quantile(share * total, counts, BY_NAME[name].bounds) for share in shares] if total else None


def _number(series: Series, name: str, labels: Labels) -> float:
    value = series.get(name, {}).get(labels, 0.0)
    assert not isinstance(value, tuple)
    return value


def _quantile(rank: float, counts: list[float], bounds: tuple[float, ...]) -> float:
    passed = 0.0
    for count, (lower, upper) in zip(counts, pairwise((0.0, *bounds)), strict=False):
        if count and passed + count >= rank:
            return lower + (upper - lower) * (rank - passed) / count
        passed += count
    return bounds[-1]
