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
from cellar.jobs.backtests.request import begin
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy.backtest import Backtest, work_of
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
    series, options = begin(asked, model.network.network, table)
    return Backtest(model.network, series, options), Work(*work_of(model.network.network, series, options))
