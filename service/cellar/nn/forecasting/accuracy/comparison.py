"""Compares forecasts of series with what came then: metrics in all, by series and by step ahead, and a plot."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.forecasting.accuracy.totals import MeanOf, PointTotals, SpreadTotals, StepTotals, intervals

Doubles = NDArray[np.float64]

NAIVE: Sequence[str] = ("last_value", "seasonal", "mean")
"""The naive forecasts, in the order of answers."""

PLOTTED = 512
"""The most values of a plot."""


class Rows(Protocol):
    """The values (T, targets) of a series, of which some rows are read at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Doubles: ...


@dataclass(frozen=True, slots=True)
class Series:
    """One series: rows of inputs (T, in_size) and the values (T, targets) that are forecast, NaN where missing."""

    name: str
    inputs: Callable[[slice], Floats]
    """Return some rows of the inputs."""
    known: NDArray[np.bool_]
    """(in_size,) of the inputs that are known in advance."""
    actual: Rows
    times: Doubles | None


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


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Some forecasts of a series: arrays (origins, horizon, targets, ...), NaN where a value is missing."""

    actual: Doubles
    point: Doubles
    quantiles: Doubles | None
    naive: Mapping[str, Doubles]


class SeriesErrors:
    """The errors of the forecasts of one target in one series."""

    def __init__(self) -> None:
        self.point, self.naive = PointTotals(), dict[str, PointTotals]()
        self.spread: SpreadTotals | None = None

    def add(self, forecasts: Forecasts, target: int, levels: Sequence[float]) -> None:
        """Add forecasts with these quantiles."""
        actual = forecasts.actual[..., target]
        self.point.add(actual, forecasts.point[..., target])
        for name, naive in forecasts.naive.items():
            self.naive.setdefault(name, PointTotals()).add(actual, naive[..., target])
        if forecasts.quantiles is not None:
            self.spread = self.spread or SpreadTotals(levels)
            self.spread.add(actual, forecasts.quantiles[..., target, :])


class TargetErrors:
    """The errors of the forecasts of one target in all series."""

    def __init__(self, horizon: int) -> None:
        self.steps = StepTotals(horizon)
        self._point, self._mase = PointTotals(), MeanOf()
        self._spread: SpreadTotals | None = None
        self._by_series: dict[str, Scores] = {}
        self._naive: dict[str, tuple[PointTotals, MeanOf]] = {}

    def merge(self, series: str, one: SeriesErrors, unit: float) -> None:
        """Add the errors in a series, of which `unit` is the unit of mase."""
        scores = _with_mase(one.point, unit)
        self._by_series[series] = scores if one.spread is None else scores | one.spread.scores()
        self._point.merge(one.point)
        self._mase.add(np.array([scores["mase"]]))
        for name, naive in one.naive.items():
            total, mase = self._naive.setdefault(name, (PointTotals(), MeanOf()))
            total.merge(naive)
            mase.add(np.array([_with_mase(naive, unit)["mase"]]))
        if one.spread is not None:
            self._spread = one.spread if self._spread is None else self._spread.merged(one.spread)

    def result(self) -> TargetResult:
        """Return the metrics; mase is the mean over series, each in its own unit."""
        overall = self._point.scores() | {"mase": self._mase.value}
        naive = {
            name: total.scores() | {"mase": mase.value}
            for name in NAIVE
            if name in self._naive
            for total, mase in [self._naive[name]]
        }
        spread = {} if self._spread is None else self._spread.scores()
        return TargetResult(overall | spread, self._by_series, dict(self.steps.scores()), naive)


def _with_mase(point: PointTotals, unit: float) -> Scores:
    scores = point.scores()
    return scores | {"mase": scores["mae"] / unit if unit > 0 else math.nan}


class Plotted:
    """The first values of a series that are forecast, and for each the forecast from the last origin before it."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._by_row: dict[int, tuple[Doubles, Doubles | None]] = {}

    def add(self, origin: int, point: Doubles, quantiles: Doubles | None) -> None:
        """Add a forecast (horizon, targets, ...)."""
        for step in range(min(len(point), len(self._series.actual) - origin - 1)):
            row = origin + 1 + step
            if len(self._by_row) < PLOTTED or row in self._by_row:
                self._by_row[row] = point[step], None if quantiles is None else quantiles[step]

    def plot(self, target: int, name: str, levels: Sequence[float]) -> Plot:
        """Return the plot of a target."""
        series, rows = self._series, sorted(self._by_row)
        pair = next(iter(intervals(levels)), None)
        ends = list[list[float]]()
        for end in pair or ():
            found = (self._by_row[row][1] for row in rows)
            ends.append([math.nan if each is None else float(each[target, end]) for each in found])
        return Plot(
            series=series.name,
            target=name,
            times=None if series.times is None else [float(series.times[row]) for row in rows],
            rows=rows,
            actual=[float(series.actual[row : row + 1][0, target]) for row in rows],
            point=[float(self._by_row[row][0][target]) for row in rows],
            low=None if pair is None else ends[0],
            high=None if pair is None else ends[1],
            interval=None if pair is None else levels[pair[1]] - levels[pair[0]],
        )
