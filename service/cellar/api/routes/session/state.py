"""Routes that reset a session or some of its rows, and read and write its state."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from cellar.api.decoding.state_body import (
    TYPES,
    StateBody,
    chosen,
    columns_of,
    read_some,
    read_whole,
    state_json,
    tensors_of,
)
from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.body import BYTES, JSON, body_of, bytes_of, encode_in_thread
from cellar.api.http.negotiation import answer_type
from cellar.api.http.parameters import (
    ARRAYS,
    BODY,
    CHANGE,
    MODEL,
    POSITION,
    REPLAY,
    SESSION,
    STEP_NUMBER,
    IdempotencyKey,
    SessionPath,
    parameters_of,
    set_replayed,
)
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.session.sessions import (
    ChangeAnswer,
    ResetRequest,
    StateAnswer,
    StateQuery,
    StateRequest,
    StatesQuery,
)
from cellar.errors import BodyTooLarge, KernelRevisionMismatch, NotAcceptable
from cellar.ports import SessionKey
from cellar.sessions.values import results as runtime
from cellar.wire.arrays import npy, tensors

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)

WRITE = (*SESSION, *BODY, *ARRAYS, *CHANGE)
NPY = "An npy file of real numbers"
COLUMNS = "(batch_size, state_size): the states side by side, in the order of the JSON answer."
ONE = "(batch_size, size): the state that `layer` and `name` say."


def _body(query: type[StateQuery], shape: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body with states."""
    body = body_of(StateRequest, tensors.MEDIA_TYPE, npy.MEDIA_TYPE)
    body["content"][npy.MEDIA_TYPE] = bytes_of(f"{NPY}, {shape}")
    return {"requestBody": body, "parameters": parameters_of(query, "a body that is no JSON")}


STATES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {tensors.MEDIA_TYPE: BYTES, npy.MEDIA_TYPE: bytes_of(f"{NPY}, {COLUMNS}")},
        "headers": {
            POSITION: {"description": "The position.", "schema": {"type": "string"}},
            STEP_NUMBER: {"description": "The step.", "schema": {"type": "integer"}},
        },
    }
}
JSON_TIMES, FILE_TIMES = 12, 3
"""The memory of a state and of its answer, over the size of the state."""
Layer = Annotated[int | None, Query(ge=0, description="Only the states of this layer.")]
StateName = Annotated[str | None, Query(max_length=128, description="Only the states of this name.")]


@router.post("/reset", responses={**answers(*SESSION, *BODY, *CHANGE), **REPLAY})
async def reset_session(
    session: SessionPath,
    services: Parts,
    response: Response,
    body: ResetRequest | None = None,
    key: IdempotencyKey = None,
) -> ChangeAnswer:
    """Reset a session, or some of its rows, to the initial state. The session is then at step 0 of a new epoch."""
    asked = body or ResetRequest()
    answer = await services.sessions.reset(session, asked.identity(key), rows=asked.rows)
    return changed(answer, response)


@router.get(
    "/state",
    response_model=StateAnswer,
    responses={**answers(*SESSION, *MODEL, KernelRevisionMismatch, NotAcceptable, BodyTooLarge), **STATES},
)
async def read_state(
    session: SessionPath, request: Request, services: Parts, layer: Layer = None, name: StateName = None
) -> Response:
    """Return every state of every layer, or the requested ones, exactly: as JSON, safetensors or npy."""
    wanted = answer_type(request.headers, TYPES)
    state = await services.states.read(session)
    parts = chosen(state, layer, name)
    size = sum(part.values.nbytes for part in parts)
    headers = {POSITION: str(state.position), STEP_NUMBER: str(state.position.step)}
    async with services.sessions.memory.room_for(size, JSON_TIMES if wanted == JSON else FILE_TIMES):
        if wanted == JSON:
            content = await encode_in_thread(size, state_json, session.session, state, parts)
        elif wanted == npy.MEDIA_TYPE:
            content = await encode_in_thread(size, columns_of, state, parts)
        else:
            content = await encode_in_thread(size, tensors_of, session.session, state, parts)
    return Response(content, 200, headers, wanted)


@router.put("/state", responses={**answers(*WRITE), **REPLAY}, openapi_extra=_body(StateQuery, COLUMNS))
async def write_state(
    session: SessionPath, request: Request, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Replace the whole state, as read: every name of every layer. The session is then at step 0 of a new epoch."""
    return await _write(session, await read_whole(request), services, response, key, whole=True)


@router.patch("/state", responses={**answers(*WRITE), **REPLAY}, openapi_extra=_body(StatesQuery, ONE))
async def write_states(
    session: SessionPath, request: Request, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Replace the states that are named and leave the others as they are. The session is then at step 0 of a new epoch.

    Without `position` the others are those at the time of the change.
    """
    return await _write(session, await read_some(request), services, response, key, whole=False)


async def _write(
    session: SessionKey, body: StateBody, services: Parts, response: Response, key: str | None, *, whole: bool
) -> ChangeAnswer:
    identity = body.placed.identity(key)
    answer = await services.states.write(session, body.states, identity, whole=whole, pointer=body.pointer)
    return changed(answer, response)


def changed(answer: runtime.ChangeAnswer, response: Response) -> ChangeAnswer:
    """Return the answer of a change, and set the header that tells whether it had been applied before."""
    set_replayed(response, replayed=answer.replayed)
    return ChangeAnswer.of(answer)
