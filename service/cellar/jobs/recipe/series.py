"""The series of a run as the network reads them, and the division of each into a training and a validation part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """One series: steps in order of time."""

    features: Floats
    """(T, F): what the trained layers read at each step."""
    targets: Doubles
    """(T, targets): raw readings of the targets, NaN where one is missing."""
    trained: int
    """The first steps, which are trained on; the others are held out."""

    @property
    def steps(self) -> int:
        """The number of steps."""
        return len(self.targets)


def ahead(targets: Doubles, first: int, last: int, horizon: int) -> Doubles:
    """Return the readings that follow the steps `first` to `last` (n, horizon, targets), NaN after the end.

    Those of step t are the readings t + 1 to t + horizon.
    """
    padded = np.concatenate([targets, np.full((horizon, targets.shape[1]), np.nan)])
    at = np.arange(first, last)[:, None] + np.arange(1, horizon + 1)
    found: Doubles = padded[at]
    return found


def trained_steps(steps: int, validation: float) -> int:
    """Return the steps of a series that are trained on."""
    return steps - max(1, round(steps * validation))


def longest(series: Sequence[Series]) -> int:
    """Return the steps of the longest training part."""
    return max(each.trained for each in series)
