"""Reset a session or some of its rows, read its state and write it."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Response

from cellar.api.body import JsonRoute, body_of
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
from cellar.api.schemas.sessions import ChangeAnswer, LayerAnswer, ResetRequest, StateAnswer, StateRequest
from cellar.api.services import TENANT, Parts
from cellar.api.states import Written, layers_of
from cellar.ports import SessionKey
from cellar.registry import Registry
from cellar.runtime import answers as runtime
from cellar.wire import tensors

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)

WRITE = (*SESSION, *BODY, *ARRAYS, *CHANGE)
STATES = {"requestBody": body_of(StateRequest, tensors.MEDIA_TYPE)}


@router.post("/reset", responses={**answers(*SESSION, *BODY, *CHANGE), **REPLAY})
async def reset_session(
    session: SessionName,
    services: Parts,
    response: Response,
    body: ResetRequest | None = None,
    key: IdempotencyKey = None,
) -> ChangeAnswer:
    """Put a session, or some of its rows, back into the initial state: step 0 of a new epoch."""
    asked = body or ResetRequest()
    answer = await services.sessions.reset(SessionKey(TENANT, session), asked.identity(key), rows=asked.rows)
    return changed(answer, response)


@router.get("/state", responses=answers(*SESSION, *MODEL))
async def read_state(session: SessionName, services: Parts) -> StateAnswer:
    """Return every state of every layer, exactly."""
    state = await services.sessions.read_state(SessionKey(TENANT, session))
    cells = await run_sync(_cells, services.registry, state.model)
    return StateAnswer(
        session=session,
        position=str(state.position),
        step=state.position.step,
        layers=[LayerAnswer(layer=layer, cell=cells[layer], **states) for layer, states in layers_of(state).items()],
    )


@router.put("/state", responses={**answers(*WRITE), **REPLAY}, openapi_extra=STATES)
async def write_state(
    session: SessionName, body: Written, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Replace the whole state, as read: every name of every layer. The session is then at step 0 of a new epoch."""
    answer = await services.sessions.write_state(
        SessionKey(TENANT, session), body.parts, body.identity(key), pointer=body.pointer
    )
    return changed(answer, response)


@router.patch("/state", responses={**answers(*WRITE), **REPLAY}, openapi_extra=STATES)
async def write_states(
    session: SessionName, body: Written, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Replace the states that are named and leave the others as they are. The session is then at step 0 of a new epoch.

    Without `position` the others are those of the moment at which it happens.
    """
    answer = await services.sessions.write_state(
        SessionKey(TENANT, session), body.parts, body.identity(key), whole=False, pointer=body.pointer
    )
    return changed(answer, response)


def changed(answer: runtime.ChangeAnswer, response: Response) -> ChangeAnswer:
    """Return the answer of a change, and say on the response whether it had been made before."""
    if answer.replayed:
        response.headers[REPLAYED] = "true"
    return ChangeAnswer.of(answer)


def _cells(registry: Registry, model: str) -> dict[int, str]:
    """Return what the cell of each layer with a state is called."""
    return {state.layer: state.cell for state in registry.network(registry.get(TENANT, model)).states}
