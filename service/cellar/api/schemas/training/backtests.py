"""Requests for backtests, their results, and those that run as jobs."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, ModelRef, Name, time_of
from cellar.jobs.backtests.backtests import name_of_job, options_of
from cellar.jobs.backtests.request import BacktestOptions
from cellar.jobs.options import JobOptions, Priority
from cellar.nn.forecasting.accuracy import comparison
from cellar.ports import Job, JobState

Metrics = dict[str, float | None]


class BacktestRequest(BacktestOptions):
    """A backtest of a model on a dataset."""

    dataset: Name = Field(description="The dataset.")


class BacktestJobRequest(BacktestRequest):
    """A backtest that a worker runs."""

    model: ModelRef = Field(description="The model, a version or an alias. Its version is fixed now.")
    priority: Priority = Field("normal", description="Workers take jobs of a higher priority first.")

    def options(self) -> BacktestOptions:
        """Return the options as they were sent."""
        sent = self.model_fields_set & BacktestOptions.model_fields.keys()
        return BacktestOptions.model_construct(**{name: getattr(self, name) for name in sent})


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


class BacktestJobAnswer(Answer):
    """A backtest that a worker runs, as it is now."""

    backtest: str = Field(description="Its name.")
    state: JobState
    model: str = Field(description="The version, `co2@3`.")
    dataset: str
    options: dict[str, Any] = Field(description="The options that were sent.")
    priority: Priority
    attempt: int = Field(description="Number of workers that have started it: 2 after one was killed.")
    progress: dict[str, Any] = Field(
        description="The last report: `origins` of `origins_total` forecasts, `elapsed_s` and `time_left_s`."
    )
    result: BacktestAnswer | None = Field(description="The result, once it has succeeded. null in a list.")
    error: str | None = Field(description="Why it has failed.")
    created: datetime
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of(cls, job: Job, found: comparison.Result | None = None) -> Self:
        """Return the answer for a stored job and its result."""
        model, dataset, asked = job.spec["model"], job.spec["data"]["dataset"], options_of(job)
        result = None
        if found is not None:
            result = BacktestAnswer.of(model, dataset, asked.stride or found.horizon, found)
        return cls(
            backtest=name_of_job(job),
            state=job.state,
            model=model,
            dataset=dataset,
            options=asked.model_dump(mode="json", exclude_unset=True),
            priority=JobOptions.of(job).priority,
            attempt=job.attempt,
            progress=job.progress,
            result=result,
            error=job.error,
            created=time_of(job.created_s),
            started=None if job.started_s is None else time_of(job.started_s),
            ended=None if job.ended_s is None else time_of(job.ended_s),
        )


class BacktestJobsAnswer(Answer):
    """A page of backtests that workers run, the newest first."""

    backtests: list[BacktestJobAnswer]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')


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
