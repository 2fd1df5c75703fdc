"""Compares forecasts of series with what came then: metrics in all, by series and by step ahead, and a plot."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.forecasting.accuracy import metrics

Doubles = NDArray[np.float64]

PLOTTED = 512
"""The most values of a plot."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series: rows of inputs (T, in_size) and the values (T, targets) that are forecast, NaN where missing."""

    name: str
    inputs: Callable[[slice], Floats]
    """Return some rows of the inputs."""
    known: NDArray[np.bool_]
    """(in_size,) of the inputs that are known in advance."""
    actual: Doubles
    times: Doubles | None


@dataclass(slots=True)
class Tested:
    """The forecasts of a series: (origins, horizon, targets, ...)."""

    series: Series
    trained: int
    origins: list[int]
    actual: Doubles
    point: Doubles
    quantiles: Doubles | None
    levels: tuple[float, ...]
    naive: dict[str, Doubles]
    units: list[float]
    """For each target the unit of mase."""


Scores = dict[str, float]


@dataclass(frozen=True, slots=True)
class TargetResult:
    """The metrics of a target."""

    overall: Scores
    by_series: dict[str, Scores]
    by_step: dict[str, list[float]]
    """By metric, for each step ahead."""
    baselines: dict[str, Scores]


@dataclass(frozen=True, slots=True)
class Plot:
    """Values of the first series, from its first origins on, and the forecasts of them."""

    series: str
    target: str
    times: list[float] | None
    rows: list[int]
    actual: list[float]
    point: list[float]
    low: list[float] | None
    high: list[float] | None
    interval: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a backtest."""

    horizon: int
    origins: int
    values: int
    """Values that were forecast and are not missing."""
    targets: dict[str, TargetResult]
    plots: list[Plot] = field(default_factory=list)

    @classmethod
    def of(cls, tested: Sequence[Tested], names: Sequence[str] | None) -> Self:
        """Return the metrics of all series; targets without names have their numbers."""
        names = names or [str(number) for number in range(tested[0].point.shape[2])]
        return cls(
            horizon=tested[0].point.shape[1],
            origins=sum(len(each.origins) for each in tested),
            values=int(sum((~np.isnan(each.actual)).sum() for each in tested)),
            targets={name: _target(tested, index) for index, name in enumerate(names)},
            plots=[_plot(tested[0], index, name) for index, name in enumerate(names)],
        )


def _target(tested: Sequence[Tested], index: int) -> TargetResult:
    by_series = {each.series.name: _scores([each], index) for each in tested}
    naive = {}
    for name in ("last_value", "seasonal", "mean"):
        some = [each for each in tested if name in each.naive]
        if some:
            naive[name] = _point_scores(some, index, partial(_naive, name))
    horizon = tested[0].point.shape[1]
    by_step = {
        name: [
            metric(
                np.concatenate([each.actual[:, step, index] for each in tested]),
                np.concatenate([each.point[:, step, index] for each in tested]),
            )
            for step in range(horizon)
        ]
        for name, metric in (("mae", metrics.mae), ("rmse", metrics.rmse))
    }
    return TargetResult(_scores(tested, index), by_series, by_step, naive)


def _naive(name: str, tested: Tested) -> Doubles:
    return tested.naive[name]


def _point_scores(tested: Sequence[Tested], index: int, forecast: Callable[[Tested], Doubles]) -> Scores:
    """Return the metrics of point forecasts; mase is the mean over series, each in its own unit."""
    actual = np.concatenate([each.actual[:, :, index].ravel() for each in tested])
    point = np.concatenate([forecast(each)[:, :, index].ravel() for each in tested])
    scaled = np.array(
        [metrics.mase(each.actual[:, :, index], forecast(each)[:, :, index], each.units[index]) for each in tested]
    )
    return metrics.plain_metrics(actual, point) | {"mase": metrics.mean(scaled)}


def _scores(tested: Sequence[Tested], index: int) -> Scores:
    """Return all metrics, with those of quantiles if there are any."""
    found = _point_scores(tested, index, lambda each: each.point)
    if any(each.quantiles is None for each in tested):
        return found
    levels = tested[0].levels
    actual = np.concatenate([each.actual[:, :, index].ravel() for each in tested])
    spread = np.concatenate(
        [each.quantiles[:, :, index].reshape(-1, len(levels)) for each in tested if each.quantiles is not None]
    )
    found["crps"] = metrics.crps_of_quantiles(actual, spread, levels)
    for low, high in intervals(levels):
        width = levels[high] - levels[low]
        found[f"coverage_{100 * width:.4g}"] = metrics.coverage(actual, spread[:, low], spread[:, high])
    return found


def intervals(levels: Sequence[float]) -> list[tuple[int, int]]:
    """Return the places of the levels that are the ends of an interval in the middle: 0.1 and 0.9.

    >>> intervals((0.1, 0.5, 0.9))
    [(0, 2)]
    """
    place = {round(level, 9): index for index, level in enumerate(levels)}
    pairs = ((index, place.get(round(1 - level, 9))) for level, index in place.items() if level < 0.5)
    return [(low, high) for low, high in pairs if high is not None]


def _plot(tested: Tested, index: int, name: str) -> Plot:
    """Return the first values that were forecast, and for each the forecast from the last origin before it."""
    horizon = tested.point.shape[1]
    pair = next(iter(intervals(tested.levels)), None)
    by_row: dict[int, tuple[float, float, float]] = {}
    for number, origin in enumerate(tested.origins):
        for step in range(horizon):
            row = origin + 1 + step
            if row < len(tested.series.actual):
                low, high = math.nan, math.nan
                if pair is not None and tested.quantiles is not None:
                    low, high = tested.quantiles[number, step, index, list(pair)].tolist()
                by_row[row] = (float(tested.point[number, step, index]), low, high)
    rows = sorted(by_row)[:PLOTTED]
    times = None if tested.series.times is None else [float(tested.series.times[row]) for row in rows]
    return Plot(
        series=tested.series.name,
        target=name,
        times=times,
        rows=rows,
        actual=[float(tested.series.actual[row, index]) for row in rows],
        point=[by_row[row][0] for row in rows],
        low=None if pair is None else [by_row[row][1] for row in rows],
        high=None if pair is None else [by_row[row][2] for row in rows],
        interval=None if pair is None else tested.levels[pair[1]] - tested.levels[pair[0]],
    )
