"""The request of a backtest, and what it means for a network and a table."""

from functools import partial
from typing import Annotated, Any

from pydantic import Field

from cellar.nn.forecasting.accuracy.backtest import Options
from cellar.nn.forecasting.accuracy.comparison import Series
from cellar.nn.forecasting.accuracy.series import series_of
from cellar.nn.model.network import Network
from cellar.nn.spec.base import Frozen
from cellar.nn.spec.levels import Levels

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]
Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=16_384)]


class BacktestOptions(Frozen):
    """The options of a backtest: how far ahead is forecast, and from which rows."""

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


def begin(asked: BacktestOptions, network: Network, table: Any) -> tuple[list[Series], Options]:
    """Return the series of a table and the options of a backtest.

    Raise InvalidInput for columns that are not there, or do not fit the network.
    """
    layer = network.forecast
    horizon = asked.horizon or (1 if layer is None else layer.horizon)
    options = Options(
        horizon=horizon,
        stride=asked.stride or horizon,
        levels=asked.quantiles,
        paths=asked.paths,
        seed=asked.seed,
        feedback=_feedback(asked),
        period=asked.period,
        start=partial(_start, asked.start),
    )
    return series_of(network, table, asked.inputs, asked.targets), options


def _feedback(asked: BacktestOptions) -> dict[int, int] | None:
    """Return the input that each target becomes by the names of columns; None if the model has them."""
    if asked.inputs is None or asked.targets is None:
        return None
    place = {name: number for number, name in enumerate(asked.inputs)}
    return {number: place[name] for number, name in enumerate(asked.targets) if name in place}


def _start(share: float, series: Series) -> int:
    return int(share * len(series.actual))
