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
from cellar.nn.forecasting.accuracy import baselines, metrics
from cellar.nn.forecasting.accuracy.comparison import Result, Series, Tested
from cellar.nn.forecasting.rollout import DEFAULT_PATHS, USUAL_LEVELS, Ask, Rollout

Doubles = NDArray[np.float64]

STEPS = 512
"""Rows that are run in one call."""


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
        self._tested: list[Tested] = []
        self._current: _Run | None = None

    def advance(self) -> bool:
        """Run some rows, or a step of the forecasts from one origin. Return whether more is left."""
        if self._current is None:
            if not self._left:
                return False
            self._current = _Run(self._bound, self._left.pop(), self._options)
        if not self._current.advance():
            if self._current.origins:
                self._tested.append(self._current.tested())
            self._current = None
        return self._current is not None or bool(self._left)

    def result(self) -> Result:
        """Return the metrics. Raise InvalidInput if there was nothing to forecast."""
        if not self._tested:
            raise InvalidInput(
                "no series has a row to forecast",
                pointer="/start",
                expected="fewer rows before the first forecast",
            )
        layer = self._bound.network.forecast
        return Result.of(self._tested, None if layer is None else [target.name for target in layer.targets])


def work_of(bound: BoundNetwork, series: Sequence[Series], options: Options) -> tuple[int, int]:
    """Return the steps that a backtest runs, and the numbers that it keeps."""
    steps, numbers = 0, 0
    layer = bound.network.forecast
    is_rolled = layer is None or layer.horizon < options.horizon
    each = options.horizon * (options.paths or DEFAULT_PATHS) if is_rolled else 1
    for one in series:
        rows = len(one.actual)
        origins = -(-max(0, rows - max(options.start(one), 1)) // options.stride)
        steps += rows + origins * each
        numbers += origins * options.horizon * one.actual.shape[1] * (4 + len(options.levels or USUAL_LEVELS))
    return steps, numbers


class _Run:
    """The run of one series."""

    def __init__(self, bound: BoundNetwork, series: Series, options: Options) -> None:
        self._bound, self.series, self._options = bound, series, options
        self._rows = len(series.actual)
        self.trained = min(max(options.start(series), 1), self._rows)
        self.origins = list(range(self.trained - 1, self._rows - 1, options.stride))
        self._state = bound.initial_state(1)
        self._at = 0
        self._last_inputs: Floats = np.zeros(bound.network.in_size, np.float32)
        self._done: list[tuple[Doubles, Doubles | None]] = []
        self._levels: tuple[float, ...] = ()
        self._rollout: Rollout | None = None

    def advance(self) -> bool:
        """Do one part. Return whether more is left."""
        if self._rollout is not None:
            if not self._rollout.advance():
                self._take(self._rollout)
                self._rollout = None
        elif len(self._done) < len(self.origins):
            self._to_origin(self.origins[len(self._done)])
        return len(self._done) < len(self.origins)

    def _to_origin(self, origin: int) -> None:
        """Run rows up to an origin, and begin its forecast there."""
        stop = min(origin + 1, self._at + STEPS)
        if self._at < stop:
            inputs = np.ascontiguousarray(self.series.inputs(slice(self._at, stop)), np.float32)[:, None]
            self._bound.network.check_inputs(inputs, "/dataset")
            run = self._bound.run(inputs, self._state)
            if run.bad_step is not None:
                raise NotFinite(f"the model is not finite within rows {self._at} to {stop - 1} of {self.series.name!r}")
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
        found = rollout.result()
        self._done.append((found.point[0], None if found.quantiles is None else found.quantiles[0]))
        self._levels = found.levels

    def tested(self) -> Tested:
        """Return the forecasts beside the values and the naive forecasts."""
        horizon, actual, origins = self._options.horizon, self.series.actual, self.origins
        padded = np.concatenate([actual, np.full((horizon, actual.shape[1]), np.nan)])
        ahead = np.array(origins)[:, None] + 1 + np.arange(horizon)
        quantiles = None
        if all(each is not None for _, each in self._done):
            quantiles = np.stack([each for _, each in self._done if each is not None])
        naive = {
            "last_value": baselines.last_value(actual, origins, horizon),
            "mean": baselines.mean_value(actual, origins, horizon, self.trained),
        }
        periods = [self._options.period or baselines.find_period(column[: self.trained]) for column in actual.T]
        if any(period is not None for period in periods):
            naive["seasonal"] = np.stack(
                [
                    baselines.seasonal_value(column, origins, horizon, period or 1)
                    for column, period in zip(actual.T, periods, strict=True)
                ],
                axis=-1,
            )
        units = [metrics.naive_error(column[: self.trained]) for column in actual.T]
        point = np.stack([each for each, _ in self._done])
        return Tested(self.series, self.trained, origins, padded[ahead], point, quantiles, self._levels, naive, units)
