"""The route that forecasts from the state of a session."""

from functools import partial
from typing import Any, cast

import numpy as np
from fastapi import APIRouter
from numpy.typing import NDArray

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import encode_in_thread
from cellar.api.http.parameters import BODY, MODEL, SESSION, SessionPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.names import time_of
from cellar.api.schemas.session.forecasts import ForecastAnswer, ForecastRequest, TargetForecast
from cellar.errors import IdUnknown, InvalidInput, KernelRevisionMismatch, ShapeMismatch, TypeMismatch
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.future import read_future, rectangle
from cellar.nn.forecasting.rollout import DEFAULT_PATHS, Ask, Forecast, Rollout
from cellar.nn.forecasting.widths import own_state
from cellar.nn.learning.learning_network import LearningNetwork
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.ports import Floats, SessionRecord
from cellar.sessions.operations.forecasts import Extent
from cellar.sessions.values.model_protocol import Model

router = APIRouter(prefix="/v1/sessions/{session}", tags=["steps"], route_class=JsonRoute)

INPUTS = (IdUnknown, ShapeMismatch, TypeMismatch)
"""Of the inputs of the steps ahead."""

NUMBER_TEXT = 32
"""The memory of a number and its text in an answer."""


@router.post("/forecast", responses=answers(*SESSION, *MODEL, *BODY, *INPUTS, KernelRevisionMismatch))
async def forecast(session: SessionPath, services: Parts, body: ForecastRequest | None = None) -> ForecastAnswer:
    """Forecast from the newest committed state, without moving the session: values, quantiles, paths, by target."""
    asked = body or ForecastRequest()
    record, found = await services.forecasts.forecast(session, partial(_extent, asked), partial(_begin, asked))
    numbers = found.point.size * (1 + len(found.levels)) + (0 if found.paths is None else found.paths.size)
    return await encode_in_thread(NUMBER_TEXT * numbers, _answer, record, found, asked)


def _extent(asked: ForecastRequest, model: Model) -> Extent:
    bound = _bound(model)
    layer = bound.network.forecast
    spread = layer is not None and (layer.head != "point" or layer.residuals is not None)
    is_rolled = layer is None or (layer.horizon == 1 and (_horizon(asked, layer) > 1 or asked.paths is not None))
    paths = (asked.paths or DEFAULT_PATHS) if spread and is_rolled else 1
    return Extent(_horizon(asked, layer), paths, bound.network.out_size if layer is None else len(layer.targets))


def _bound(model: Model) -> BoundNetwork:
    if isinstance(model.network, LearningNetwork):  # they run in the same way, with what was learnt
        return cast(BoundNetwork, model.network)
    if not isinstance(model.network, BoundNetwork):
        raise InvalidInput(
            f"{model.version.ref} is a graph of ONNX, which has no forecasts", expected="a network of layers"
        )
    return model.network


def _horizon(asked: ForecastRequest, layer: ForecastSpec | None) -> int:
    return asked.horizon or (1 if layer is None else layer.horizon)


def _begin(asked: ForecastRequest, model: Model, record: SessionRecord, state: Floats) -> Rollout:
    bound = _bound(model)
    layer = bound.network.forecast
    names = [str(number) for number in range(bound.network.out_size)]
    names = names if layer is None else [target.name for target in layer.targets]
    if layer is not None and record.position.step == 0 and not _last(bound, state).any():
        raise InvalidInput(
            "the session has made no step, so there is nothing to forecast from", expected="a session with a step"
        )
    ask = Ask(
        horizon=_horizon(asked, layer),
        levels=asked.quantiles,
        paths=asked.paths,
        future=None if asked.future is None else read_future(bound.network, asked.future),
        feedback=None if asked.feedback is None else _numbered(asked.feedback, names),
        last=None if asked.last is None else rectangle(asked.last, "/last"),
        seed=asked.seed,
    )
    return Rollout(bound, state, ask)


def _last(bound: BoundNetwork, state: Floats) -> Floats:
    """Return the last outputs in the state, which other layers may begin with other numbers than 0."""
    return own_state(bound.network, state, "last")


def _numbered(feedback: dict[str, int], names: list[str]) -> dict[int, int]:
    """Return feedback by the numbers of targets, which are given by name or number."""
    place = {str(number): number for number in range(len(names))} | {name: at for at, name in enumerate(names)}
    for name in feedback:
        if name not in place:
            raise InvalidInput(
                f"no target is named {name[:64]!r}",
                pointer=f"/feedback/{name.replace('~', '~0').replace('/', '~1')}",
                expected=f"one of {', '.join(names[:32])}, or a number from 0 to {len(names) - 1}",
                actual=name[:64],
            )
    return {place[name]: number for name, number in feedback.items()}


def _answer(record: SessionRecord, found: Forecast, asked: ForecastRequest) -> ForecastAnswer:
    return ForecastAnswer(
        session=record.key.session,
        model=record.meta.model,
        position=str(record.position),
        horizon=found.point.shape[1],
        times=None if found.times is None else _times(found.times),
        targets={name: _target(found, index, asked) for index, name in enumerate(found.targets)},
    )


def _times(times: NDArray[np.float64]) -> list[Any]:
    """Return times of rows as texts; of one row without its axis."""
    texts = [[time_of(time_s) for time_s in row] for row in times.tolist()]
    return list(texts[0] if len(texts) == 1 else texts)


def _target(found: Forecast, index: int, asked: ForecastRequest) -> TargetForecast:
    quantiles, paths = None, None
    if found.quantiles is not None:
        quantiles = {
            f"{level:.15g}": _listed(found.quantiles[:, :, index, at]) for at, level in enumerate(found.levels)
        }
    if asked.include_paths and found.paths is not None:
        paths = _listed(found.paths[:, :, :, index])
    return TargetForecast(point=_listed(found.point[:, :, index]), quantiles=quantiles, paths=paths)


def _listed(values: NDArray[np.float64]) -> list[Any]:
    """Return values of rows as lists, rounded to float32 as answers are; of one row without its axis."""
    rounded = values.astype(np.float32)
    return list((rounded[0] if len(rounded) == 1 else rounded).tolist())
