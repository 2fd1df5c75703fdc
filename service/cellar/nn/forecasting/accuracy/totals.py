"""Sums of errors, from which metrics are made: values are added in blocks, so that no forecast is kept.

Arrays are those of one target: actual and point forecasts (origins, horizon), quantiles (origins, horizon, levels). NaN
is a missing value.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellar.nn.forecasting.accuracy import metrics

Doubles = NDArray[np.float64]

POINT_ERRORS = ("absolute", "squared", "relative", "symmetric")
"""The errors of which the means are mae, the square of rmse, mape and smape."""


class MeanOf:
    """The mean of values that are added in blocks."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.total, self.count = 0.0, 0

    def add(self, values: Doubles) -> None:
        """Add the values that are not missing."""
        present = values.ravel()
        present = present[~np.isnan(present)]
        self.total += float(present.sum())
        self.count += present.size

    def merge(self, other: Self) -> None:
        """Add all values of another mean."""
        self.total += other.total
        self.count += other.count

    @property
    def value(self) -> float:
        """The mean, NaN without values."""
        return self.total / self.count if self.count else float("nan")


class PointTotals:
    """The errors of a point forecast of one target."""

    def __init__(self) -> None:
        self.errors = {name: MeanOf() for name in POINT_ERRORS}

    def add(self, actual: Doubles, point: Doubles) -> None:
        """Add forecasts."""
        for name, values in metrics.errors(actual, point).items():
            self.errors[name].add(values)

    def merge(self, other: Self) -> None:
        """Add all forecasts of another total."""
        for name, error in other.errors.items():
            self.errors[name].merge(error)

    def scores(self) -> dict[str, float]:
        """Return mae, rmse, mape and smape."""
        mae, squared, mape, smape = (self.errors[name].value for name in POINT_ERRORS)
        return {"mae": mae, "rmse": float(np.sqrt(squared)), "mape": mape, "smape": smape}


class SpreadTotals:
    """The errors of quantiles of one target."""

    def __init__(self, levels: Sequence[float]) -> None:
        self._levels = levels
        self._pinball = [MeanOf() for _ in levels]
        self._covered = {pair: MeanOf() for pair in intervals(levels)}

    def add(self, actual: Doubles, quantiles: Doubles) -> None:
        """Add forecasts."""
        for index, level in enumerate(self._levels):
            self._pinball[index].add(metrics.pinball_losses(actual, quantiles[..., index], level))
        for (low, high), covered in self._covered.items():
            covered.add(metrics.within(actual, quantiles[..., low], quantiles[..., high]))

    def merged(self, other: Self) -> Self:
        """Add all forecasts of another total, and return this one."""
        for own, more in zip(self._pinball, other._pinball, strict=True):
            own.merge(more)
        for pair, covered in self._covered.items():
            covered.merge(other._covered[pair])
        return self

    def scores(self) -> dict[str, float]:
        """Return crps, and for each interval its coverage."""
        found = {"crps": 2 * metrics.mean(np.array([each.value for each in self._pinball]))}
        for (low, high), covered in self._covered.items():
            width = self._levels[high] - self._levels[low]
            found[f"coverage_{100 * width:.4g}"] = covered.value
        return found


class StepTotals:
    """The errors of a point forecast of one target by step ahead."""

    def __init__(self, horizon: int) -> None:
        self._absolute, self._squared = np.zeros(horizon), np.zeros(horizon)
        self._counts = np.zeros(horizon, np.int64)

    def add(self, actual: Doubles, point: Doubles) -> None:
        """Add forecasts."""
        error = np.abs(actual - point)
        self._absolute += np.nansum(error, axis=0)
        self._squared += np.nansum(error**2, axis=0)
        self._counts += (~np.isnan(error)).sum(axis=0)

    def scores(self) -> Mapping[str, list[float]]:
        """Return mae and rmse for each step."""
        with np.errstate(invalid="ignore"):
            mae, squared = self._absolute / self._counts, self._squared / self._counts
        return {"mae": mae.tolist(), "rmse": np.sqrt(squared).tolist()}


def intervals(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Return the places of the levels that are the ends of an interval in the middle: 0.1 and 0.9.

    >>> intervals((0.1, 0.5, 0.9))
    [(0, 2)]
    """
    place = {round(level, 9): index for index, level in enumerate(levels)}
    pairs = ((index, place.get(round(1 - level, 9))) for level, index in place.items() if level < 0.5)
    return [(low, high) for low, high in pairs if high is not None]
