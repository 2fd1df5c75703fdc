"""The first and last time of a table, and the typical time between two rows."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MOST_STEPS = 1_000_000
"""Most steps between rows whose median is taken; of more, those of further rows are left out."""


class TimeFacts:
    """The facts of the times of a table, found while they are written."""

    def __init__(self, bounds: NDArray[np.int64]) -> None:
        self._bounds = bounds
        self._steps: list[NDArray[np.float64]] = []
        self._count = 0
        self.first_s: float | None = None
        self.last_s: float | None = None

    def of(self, parts: Iterator[NDArray[np.float64]]) -> Iterator[NDArray[np.float64]]:
        """Yield the times as they are."""
        begin = 0
        for part in parts:
            low, high = float(part.min()), float(part.max())
            self.first_s = low if self.first_s is None else min(self.first_s, low)
            self.last_s = high if self.last_s is None else max(self.last_s, high)
            if self._count < MOST_STEPS:
                steps = np.diff(part)
                first, last = np.searchsorted(self._bounds, (begin + 1, begin + len(part)), "left")
                inside = np.ones(len(steps), bool)
                inside[self._bounds[first:last] - begin - 1] = False
                self._steps.append(steps[inside])
                self._count += len(self._steps[-1])
            begin += len(part)
            yield part

    def interval_s(self) -> float | None:
        """Return the median time between two rows of a series, None if there is none."""
        return float(np.median(np.concatenate(self._steps))) if self._count else None
