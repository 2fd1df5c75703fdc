"""Backtests: forecasts from many origins of series that are known, beside what came then and beside naive forecasts.

A series is run once from the initial state. At each origin o, the model has read the rows up to o and forecasts the
rows o + 1 to o + horizon; the next origin is `stride` rows later. Of later rows only those inputs are read that are
known in advance. Others are missing, or have their last value if the model takes no missing ones.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput, NotFinite
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy.comparison import Forecasts, Plotted, Result, Series, SeriesErrors, TargetErrors
from cellar.nn.forecasting.accuracy.naive import Naive
from cellar.nn.forecasting.accuracy.totals import StepTotals
from cellar.nn.forecasting.rollout import DEFAULT_PATHS, USUAL_LEVELS, Ask, Rollout
from cellar.nn.model.network import Network

Doubles = NDArray[np.float64]

STEPS = 512
"""Rows that are run in one call."""

KEPT_VALUES = 65_536
"""Values of forecasts that are kept until their errors are added up: the memory does not grow with the dataset."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a backtest."""

    horizon: int
    stride: int
    levels: tuple[float, ...] | None
    paths: int | None
    seed: int
    feedback: Mapping[int, int] | None
    period: int | None
    """The period of the seasonal forecast, in rows; None: as it is found in the training part."""
    start: Callable[[Series], int]
    """Return the number of rows before the first one that is forecast: the training part."""


class Backtest:
    """Tests a model on series: call `advance` until it returns False, then `result`."""

    def __init__(self, bound: BoundNetwork, series: Sequence[Series], options: Options) -> None:
        self._bound, self._options = bound, options
        self._left = list(reversed(series))
        self._current: _Run | None = None
        self._targets: list[TargetErrors] = []
        self._plotted: Plotted | None = None
        self._levels: tuple[float, ...] = ()
        self._values = 0
        self.origins = 0
        """Forecasts that were made so far."""

    def advance(self) -> bool:
        """Run some rows, or a step of the forecasts from one origin. Return whether more is left."""
        if self._current is None:
            if not self._left:
                return False
            self._current = self._begin(self._left.pop())
        before = self._current.made
        is_over = not self._current.advance()
        self.origins += self._current.made - before
        if is_over:
            self._end(self._current)
            self._current = None
        return self._current is not None or bool(self._left)

    def _begin(self, series: Series) -> "_Run":
        run = _Run(self._bound, series, self._options)
        if run.count:
            if not self._targets:
                self._targets = [TargetErrors(self._options.horizon) for _ in range(run.targets)]
                self._plotted = run.plotted = Plotted(series)
            run.steps = [target.steps for target in self._targets]
        return run

    def _end(self, run: "_Run") -> None:
        if run.count:
            self._values, self._levels = self._values + run.values, run.levels
            for target, found, unit in zip(self._targets, run.errors, run.naive.units, strict=True):
                target.merge(run.series.name, found, unit)

    def result(self) -> Result:
        """Return the metrics. Raise InvalidInput if there was nothing to forecast."""
        if self._plotted is None:
            raise InvalidInput(
                "no series has a row to forecast",
                pointer="/start",
                expected="fewer rows before the first forecast",
            )
        layer, count = self._bound.network.forecast, len(self._targets)
        names = [str(number) for number in range(count)] if layer is None else [each.name for each in layer.targets]
        return Result(
            horizon=self._options.horizon,
            origins=self.origins,
            values=self._values,
            targets={name: target.result() for name, target in zip(names, self._targets, strict=True)},
            plots=[self._plotted.plot(index, name, self._levels) for index, name in enumerate(names)],
        )


def work_of(network: Network, series: Sequence[Series], options: Options) -> tuple[int, int]:
    """Return the steps that a backtest runs, and the most numbers that it keeps."""
    steps, numbers = 0, 0
    layer = network.forecast
    is_rolled = layer is None or layer.horizon < options.horizon
    each = options.horizon * (options.paths or DEFAULT_PATHS) if is_rolled else 1
    for one in series:
        rows = len(one.actual)
        origins = -(-max(0, rows - max(options.start(one), 1)) // options.stride)
        steps += rows + origins * each
        each_origin = options.horizon * one.actual[:1].shape[1]
        kept = min(origins, KEPT_VALUES // each_origin + 1) * each_origin
        numbers = max(numbers, kept * (5 + len(options.levels or USUAL_LEVELS)))
    return steps, numbers


def origins_of(series: Sequence[Series], options: Options) -> int:
    """Return the number of forecasts of a backtest."""
    return sum(len(_origins(one, options)) for one in series)


def _origins(series: Series, options: Options) -> range:
    """Return the rows of a series after which a forecast is made."""
    rows = len(series.actual)
    return range(_trained(series, options) - 1, rows - 1, options.stride)


def _trained(series: Series, options: Options) -> int:
    return min(max(options.start(series), 1), len(series.actual))


class _Run:
    """The run of one series."""

    def __init__(self, bound: BoundNetwork, series: Series, options: Options) -> None:
        self._bound, self.series, self._options = bound, series, options
        self._rows, self._origins = len(series.actual), _origins(series, options)
        self.count, self.made = len(self._origins), 0
        """The forecasts, and those that were made."""
        self.targets, self.values = series.actual[:1].shape[1], 0
        self.errors = [SeriesErrors() for _ in range(self.targets)]
        self.steps: list[StepTotals] = []
        self.plotted: Plotted | None = None
        self.levels: tuple[float, ...] = ()
        self.naive = Naive(series, _trained(series, options) if self.count else 0, options.period)
        self._state = bound.initial_state(1)
        self._at = 0
        self._last_inputs: Floats = np.zeros(bound.network.in_size, np.float32)
        self._kept: list[Forecasts] = []
        self._rollout: Rollout | None = None

    def advance(self) -> bool:
        """Do one part. Return whether more is left."""
        if self._rollout is not None:
            if not self._rollout.advance():
                self._take(self._rollout)
                self._rollout = None
        elif self.made < self.count:
            self._to_origin(self._origins[self.made])
        return self.made < self.count

    def _to_origin(self, origin: int) -> None:
        """Run rows up to an origin, and begin its forecast there."""
        stop = min(origin + 1, self._at + STEPS)
        if self._at < stop:
            inputs = np.ascontiguousarray(self.series.inputs(slice(self._at, stop)), np.float32)[:, None]
            self._bound.network.check_inputs(inputs, "/dataset")
            run = self._bound.run(inputs, self._state)
            if run.bad_step is not None:
                raise NotFinite(f"the model is not finite within rows {self._at} to {stop - 1} of {self.series.name!r}")
            self.naive.read(self.series.actual[self._at : stop])
            self._state, self._at, self._last_inputs = run.state, stop, inputs[-1, 0]
            self._outputs = run.outputs[-1]
        if self._at <= origin:
            return
        horizon = self._options.horizon
        known = self.series.inputs(slice(origin + 1, min(origin + horizon, self._rows)))
        hidden = np.nan if self._bound.network.readings is not None else self._last_inputs
        known = np.where(self.series.known, known, hidden).astype(np.float32)
        # Values behind the end of the series are not compared, so any inputs will do.
        known = np.pad(known, ((0, horizon - 1 - len(known)), (0, 0)), "edge" if len(known) else "constant")
        ask = Ask(
            horizon=horizon,
            levels=self._options.levels,
            paths=self._options.paths,
            future=None,
            feedback=self._options.feedback,
            last=None if self._bound.network.forecast is not None else self._outputs,
            seed=self._options.seed,
        )
        self._rollout = Rollout(self._bound, self._state, ask, known[None])

    def _take(self, rollout: Rollout) -> None:
        """Keep a forecast beside the values and the naive forecasts, and add up the errors of many."""
        found, origin, horizon = rollout.result(), self._origins[self.made], self._options.horizon
        point, quantiles = found.point[0], None if found.quantiles is None else found.quantiles[0]
        actual = np.full((horizon, self.targets), np.nan)
        known = self.series.actual[origin + 1 : min(origin + 1 + horizon, self._rows)]
        actual[: len(known)] = known
        self.levels, self.made = found.levels, self.made + 1
        self._kept.append(Forecasts(actual, point, quantiles, self.naive.forecast(horizon)))
        if self.plotted is not None:
            self.plotted.add(origin, point, quantiles)
        if self.made == self.count or len(self._kept) * actual.size >= KEPT_VALUES:
            self._add(_joined(self._kept))
            self._kept = []

    def _add(self, forecasts: Forecasts) -> None:
        self.values += int((~np.isnan(forecasts.actual)).sum())
        for target, (errors, steps) in enumerate(zip(self.errors, self.steps, strict=True)):
            errors.add(forecasts, target, self.levels)
            steps.add(forecasts.actual[..., target], forecasts.point[..., target])


def _joined(kept: Sequence[Forecasts]) -> Forecasts:
    quantiles = [each.quantiles for each in kept if each.quantiles is not None]
    return Forecasts(
        actual=np.stack([each.actual for each in kept]),
        point=np.stack([each.point for each in kept]),
        quantiles=np.stack(quantiles) if len(quantiles) == len(kept) else None,
        naive={name: np.stack([each.naive[name] for each in kept]) for name in kept[0].naive},
    )
