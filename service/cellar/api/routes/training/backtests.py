"""The route that tests a model on a dataset."""

from functools import partial
from typing import Any

from fastapi import APIRouter

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import encode_in_thread
from cellar.api.http.parameters import BODY, MODEL, PARAMETER, STORE, ModelRefPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.training.backtests import BacktestAnswer, BacktestRequest
from cellar.errors import DatasetUnknown, IdUnknown, InvalidInput, TypeMismatch
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy.backtest import Backtest, Options, work_of
from cellar.nn.forecasting.accuracy.comparison import Series
from cellar.nn.forecasting.accuracy.series import series_of
from cellar.sessions.operations.forecasts import Work
from cellar.sessions.values.model_protocol import Model

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)

ANSWER_BYTES = 256 * 1024


@router.post(
    "/{model}/backtest", responses=answers(*STORE, *PARAMETER, *MODEL, *BODY, DatasetUnknown, IdUnknown, TypeMismatch)
)
async def backtest(model: ModelRefPath, body: BacktestRequest, services: Parts, caller: CallerOf) -> BacktestAnswer:
    """Forecast a dataset from many origins, and compare with what came then and with naive forecasts."""
    loaded, found = await services.forecasts.backtest(caller.tenant, model, body.dataset, partial(_begin, body))
    stride = body.stride or found.horizon
    return await encode_in_thread(ANSWER_BYTES, BacktestAnswer.of, loaded.version.ref, body.dataset, stride, found)


def _begin(asked: BacktestRequest, model: Model, table: Any) -> tuple[Backtest, Work]:
    if not isinstance(model.network, BoundNetwork):
        raise InvalidInput(
            f"{model.version.ref} is a graph of ONNX, which has no forecasts", expected="a network of layers"
        )
    bound = model.network
    layer = bound.network.forecast
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
    series = series_of(bound.network, table, asked.inputs, asked.targets)
    return Backtest(bound, series, options), Work(*work_of(bound, series, options))


def _feedback(asked: BacktestRequest) -> dict[int, int] | None:
    """Return the input that each target becomes by the names of columns; None if the model has them."""
    if asked.inputs is None or asked.targets is None:
        return None
    place = {name: number for number, name in enumerate(asked.inputs)}
    return {number: place[name] for number, name in enumerate(asked.targets) if name in place}


def _start(share: float, series: Series) -> int:
    return int(share * len(series.actual))
