"""Reset a session, read its state and write it."""

from collections import defaultdict
from typing import Any

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Response
from numpy.typing import NDArray

from cellar.api.body import JsonRoute
from cellar.api.problems import answers
from cellar.api.routes.parameters import (
    ARRAYS,
    BODY,
    CHANGE,
    MODEL,
    REPLAY,
    REPLAYED,
    SESSION,
    IdempotencyKey,
    SessionName,
)
from cellar.api.schemas.sessions import ChangeAnswer, LayerAnswer, LayerRequest, ResetRequest, StateAnswer, StateRequest
from cellar.api.services import TENANT, Parts
from cellar.errors import InvalidInput
from cellar.ports import SessionKey
from cellar.registry import Registry
from cellar.wire.document import pointer_of
from cellar.wire.numbers import parse_array

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)


@router.post("/reset", responses={**answers(*SESSION, *BODY, *CHANGE), **REPLAY})
async def reset_session(
    session: SessionName,
    services: Parts,
    response: Response,
    body: ResetRequest | None = None,
    key: IdempotencyKey = None,
) -> ChangeAnswer:
    """Put a session back into its initial state: step 0 of a new epoch."""
    identity = (body or ResetRequest(position=None)).identity(key)
    answer = await services.sessions.reset(SessionKey(TENANT, session), identity)
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    return ChangeAnswer.of(answer)


@router.get("/state", responses=answers(*SESSION, *MODEL))
async def read_state(session: SessionName, services: Parts) -> StateAnswer:
    """Return every state of every layer, exactly."""
    state = await services.sessions.read_state(SessionKey(TENANT, session))
    cells = await run_sync(_cells, services.registry, state.model)
    layers: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    for part in state.parts:
        layers[part.layer][part.name] = part.values.tolist()
    return StateAnswer(
        session=session,
        position=str(state.position),
        step=state.position.step,
        layers=[LayerAnswer(layer=layer, cell=cells[layer], **states) for layer, states in layers.items()],
    )


@router.put("/state", responses={**answers(*SESSION, *BODY, *ARRAYS, *CHANGE), **REPLAY})
async def write_state(
    session: SessionName, body: StateRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Replace the whole state, as read: every name of every layer. The session is then at step 0 of a new epoch."""
    parts = _parts(body.layers)
    answer = await services.sessions.write_state(SessionKey(TENANT, session), parts, body.identity(key))
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    return ChangeAnswer.of(answer)


def _parts(layers: list[LayerRequest]) -> dict[tuple[int, str], NDArray[np.float32]]:
    parts: dict[tuple[int, str], NDArray[np.float32]] = {}
    for index, layer in enumerate(layers):
        for name, rows in layer.states.items():
            pointer = f"/layers/{index}" + pointer_of([name])
            if (layer.layer, name) in parts:
                raise InvalidInput(f"a second state {name!r} of layer {layer.layer}", pointer=pointer)
            parts[layer.layer, name] = parse_array(rows, pointer=pointer, ndim=2)
    return parts


def _cells(registry: Registry, model: str) -> dict[int, str]:
    """Return what the cell of each layer with a state is called."""
    return {state.layer: state.cell for state in registry.network(registry.get(TENANT, model)).states}
