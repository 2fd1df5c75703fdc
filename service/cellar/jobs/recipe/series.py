"""The series of a run as the network reads them, and the division of each into a training and a validation part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of targets: (reading - shift) / scale. Both (targets,), or (T, targets) by step."""

    shift: NDArray[np.floating]
    scale: NDArray[np.floating]

    def at(self, steps: NDArray[np.int64] | slice) -> "Scale":
        """Return the scale of some steps, each (n, targets) or (targets,)."""
        return self if self.shift.ndim == 1 else Scale(self.shift[steps], self.scale[steps])

    def scaled(self, future: Doubles) -> Doubles:
        """Return readings that follow steps, (n, horizon, targets), in the scale of these steps."""
        found: Doubles = (future - self.shift[..., None, :]) / self.scale[..., None, :]
        return found

    def raw(self, scaled: Doubles) -> Doubles:
        """Return the inverse of `scaled`."""
        found: Doubles = scaled * self.scale[..., None, :] + self.shift[..., None, :]
        return found


@dataclass(frozen=True, slots=True)
class Series:
    """One series: steps in order of time."""

    features: Floats
    """(T, F): what the trained layers read at each step."""
    targets: Doubles
    """(T, targets): raw readings of the targets, NaN where one is missing."""
    trained: int
    """The first steps, which are trained on; the others are held out."""
    scale: Scale | None = None
    """The scale of each step that a session keeps; None if all series have one."""

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
