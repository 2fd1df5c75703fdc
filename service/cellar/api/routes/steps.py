"""One step, and a sequence of steps: the hot routes, which `cellar.api.hot` calls without FastAPI's stack."""

from typing import Any

import numpy as np
import orjson
from anyio.to_thread import run_sync
from fastapi import APIRouter
from numpy.typing import NDArray
from starlette.responses import Response

from cellar.api.body import JsonRoute
from cellar.api.faults import below
from cellar.api.problems import answers
from cellar.api.routes.parameters import REPLAY, REPLAYED, STEP, IdempotencyKey, SessionName
from cellar.api.schemas.sessions import SequenceAnswer, SequenceRequest, StepAnswer, StepRequest
from cellar.api.services import TENANT, Parts
from cellar.errors import IdUnknown, InvalidInput, ShapeMismatch, WholeSequencesOnly
from cellar.ports import Position, SessionKey
from cellar.wire.layout import check_layout, from_tbf, to_tbf
from cellar.wire.numbers import parse_array

router = APIRouter(prefix="/v1/sessions/{session}", tags=["steps"], route_class=JsonRoute)


@router.post("/step", response_model=StepAnswer, responses={**answers(*STEP), **REPLAY})
async def step(session: SessionName, body: StepRequest, services: Parts, key: IdempotencyKey = None) -> Response:
    """Advance a session by one time step and return its output. Models that read from both ends have none.

    Without `position`, `step` or Idempotency-Key the step is appended, and a retry of a lost reply appends again.
    """
    rows = isinstance(body.input[0], list) if body.input else False
    inputs = parse_array(body.input, pointer="/input", ndim=2 if rows else 1)
    identity = body.identity(key)
    with below("/input", ShapeMismatch), below("/input", IdUnknown), below("/input", WholeSequencesOnly):
        answer = await services.sessions.step(
            SessionKey(TENANT, session), inputs if rows else inputs[None], identity, reset=body.reset
        )
    output = None if answer.outputs is None else answer.outputs[0] if rows else answer.outputs[0, 0]
    return _moved("output", output, answer.position, answer.replayed)


@router.post("/sequence", response_model=SequenceAnswer, responses={**answers(*STEP), **REPLAY})
async def sequence(
    session: SessionName, body: SequenceRequest, services: Parts, key: IdempotencyKey = None
) -> Response:
    """Advance a session by several time steps, all or none, and return their outputs.

    The state after it is the same, bit for bit, as after the steps one by one.
    """
    layout = _layout(body)
    identity = body.identity(key)
    inputs = await run_sync(_inputs, body.inputs, layout)
    with below("/inputs", ShapeMismatch), below("/inputs", IdUnknown):
        answer = await services.sessions.sequence(SessionKey(TENANT, session), inputs, identity, reset=body.reset)
    outputs = None if answer.outputs is None else from_tbf(answer.outputs, layout)
    return _moved("outputs", outputs, answer.position, answer.replayed)


def _inputs(value: list[Any], layout: str) -> NDArray[np.float32]:
    """Return a sequence as (T, B, F). It may hold millions of numbers, which is no work for the event loop."""
    return to_tbf(parse_array(value, pointer="/inputs", ndim=len(layout)), layout)


def _layout(body: SequenceRequest) -> str:
    if body.layout is None:
        first = body.inputs[0] if body.inputs else None
        return "TBF" if isinstance(first, list) and first and isinstance(first[0], list) else "TF"
    if "F" not in check_layout(body.layout):
        # Without the letter outputs of several features could not be answered, and that would show after the commit.
        raise InvalidInput("no axis of features", pointer="/layout", expected="the letter F", actual=body.layout)
    return body.layout


def _moved(name: str, values: NDArray[np.float32] | None, position: Position, replayed: bool) -> Response:
    """Return where the session stands.

    Numbers are written as float64, so that a client that reads doubles gets the float32 back: the shorter float32
    form of some, such as 7.038531e-26, is read as its neighbour.
    """
    document: dict[str, Any] = {
        name: None if values is None else values.astype(np.float64),
        "step": position.step,
        "position": str(position),
    }
    headers = {REPLAYED: "true"} if replayed else None
    return Response(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY), 200, headers, "application/json")
