"""The request and the answer of a backtest."""

import math
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, Name, time_of
from cellar.nn.forecasting.accuracy import comparison
from cellar.nn.spec.base import Frozen
from cellar.nn.spec.levels import Levels

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=16_384)]
Metrics = dict[str, float | None]


class BacktestRequest(Frozen):
    """A backtest of a model on a dataset."""

    dataset: Name = Field(description="The dataset.")
    horizon: int | None = Field(
        None, ge=1, le=16_384, description="Steps ahead. Default: those of the model's forecast layer, or one."
    )
    stride: int | None = Field(
        None, ge=1, le=1_000_000, description="Rows between the origins of two forecasts. Default: the horizon."
    )
    start: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Share of each series before the first forecast. The mean, the period and the unit of mase are"
        " those of this part.",
    )
    quantiles: Levels | None = Field(None, description="Quantiles of each value. Default: 0.1, 0.5 and 0.9.")
    paths: int | None = Field(None, ge=1, le=10_000, description="Paths of a forecast that is rolled forward.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the paths.")
    period: int | None = Field(
        None, ge=1, le=1_000_000, description="Period of the seasonal forecast, in rows. Default: as it is found."
    )
    inputs: Columns | None = Field(None, description="Columns of the inputs, if the model has no layer of readings.")
    targets: Columns | None = Field(None, description="Columns of the outputs, if the model has no forecast layer.")


class BacktestPlot(Answer):
    """Values of the first series that were forecast, and the forecasts; null where a value is missing."""

    series: str
    target: str
    times: list[str] | None = Field(description="The times of the values; null without a time column.")
    rows: list[int] = Field(description="The numbers of the rows within the series, from 0.")
    actual: list[float | None]
    point: list[float | None]
    low: list[float | None] | None = Field(description="The lower end of the outermost interval.")
    high: list[float | None] | None
    interval: float | None = Field(description="The share of values that the interval is to hold.")


class BacktestTarget(Answer):
    """The metrics of a target. Relative errors are fractions; null where nothing can be compared."""

    metrics: Metrics = Field(
        description="Over all series: mae, rmse, mape, smape, mase, and with quantiles crps and the coverage of each"
        " interval in per cent."
    )
    series: dict[str, Metrics] = Field(description="The same for each series.")
    steps: dict[str, list[float | None]] = Field(description="mae and rmse for each step ahead.")
    baselines: dict[str, Metrics] = Field(
        description="The same of naive forecasts: the last value, the value a period ago, the mean of the first part."
    )
    better_than: dict[str, float | None] = Field(
        description="By how much the mae is below that of each baseline, as a fraction; negative if it is above."
    )

    @classmethod
    def of(cls, found: comparison.TargetResult) -> Self:
        """Return the answer for a target."""
        mae = found.overall["mae"]
        better = {name: 1 - mae / scores["mae"] if scores["mae"] else None for name, scores in found.baselines.items()}
        return cls(
            metrics=_numbers(found.overall),
            series={name: _numbers(scores) for name, scores in found.by_series.items()},
            steps={name: _list(values) or [] for name, values in found.by_step.items()},
            baselines={name: _numbers(scores) for name, scores in found.baselines.items()},
            better_than=_numbers(better),
        )


class BacktestAnswer(Answer):
    """Forecasts of a dataset from many origins, beside what came then and beside naive forecasts."""

    model: str = Field(description="The version, `co2@3`.")
    dataset: str
    horizon: int
    stride: int
    origins: int = Field(description="Forecasts that were made, of all series.")
    values: int = Field(description="Values that were forecast and are known.")
    targets: dict[str, BacktestTarget]
    plots: list[BacktestPlot] = Field(description="Of each target, up to 512 values.")

    @classmethod
    def of(cls, model: str, dataset: str, stride: int, found: comparison.Result) -> Self:
        """Return the answer for a result."""
        return cls(
            model=model,
            dataset=dataset,
            horizon=found.horizon,
            stride=stride,
            origins=found.origins,
            values=found.values,
            targets={name: BacktestTarget.of(each) for name, each in found.targets.items()},
            plots=[_plot(each) for each in found.plots],
        )


def _plot(plot: comparison.Plot) -> BacktestPlot:
    times = None if plot.times is None else [time_of(time_s).isoformat() for time_s in plot.times]
    return BacktestPlot(
        series=plot.series,
        target=plot.target,
        times=times,
        rows=plot.rows,
        actual=_list(plot.actual) or [],
        point=_list(plot.point) or [],
        low=_list(plot.low),
        high=_list(plot.high),
        interval=plot.interval,
    )


def _numbers(scores: Mapping[str, float | None]) -> Metrics:
    return {name: _finite(value) for name, value in scores.items()}


def _list(values: list[float] | None) -> list[float | None] | None:
    return None if values is None else [_finite(value) for value in values]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
