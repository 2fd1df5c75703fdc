"""Routes that run a session's log on another version of a model, or let the session continue with it."""

from fastapi import APIRouter, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import (
    BODY,
    CHANGE,
    LOCATION_HEADERS,
    MODEL,
    REPLAY,
    SESSION,
    IdempotencyKey,
    SessionPath,
)
from cellar.api.routes.json_route import JsonRoute
from cellar.api.routes.session.state import changed
from cellar.api.schemas.history.replays import MigrateRequest, ReplayAnswer, ReplayRequest
from cellar.api.schemas.session.sessions import ChangeAnswer
from cellar.errors import (
    AlreadyExists,
    IdUnknown,
    ModelUnfit,
    NotKept,
    OutOfReach,
    OutputNotFinite,
    ShapeMismatch,
    StateNotFinite,
)

RUNS = (ModelUnfit, NotKept, OutOfReach, ShapeMismatch, IdUnknown, StateNotFinite, OutputNotFinite)

router = APIRouter(prefix="/v1/sessions/{session}", tags=["past"], route_class=JsonRoute)


@router.post(
    "/replay",
    responses={
        201: {"model": ReplayAnswer, "description": "A session was made of it.", "headers": LOCATION_HEADERS},
        **answers(*SESSION, *BODY, *MODEL, *RUNS, AlreadyExists),
    },
)
async def replay_session(
    session: SessionPath, body: ReplayRequest, services: Parts, response: Response
) -> ReplayAnswer:
    """Run a session's log on a version, into a new session or to compare the outputs. The session does not change."""
    found = await services.replays.replay(session, body.model, since=body.begin(), session=body.session)
    if found.session is not None:
        response.status_code = 201
        response.headers["Location"] = f"/v1/sessions/{found.session.session}"
    return ReplayAnswer.of(found)


@router.post("/migrate", responses={**answers(*SESSION, *BODY, *CHANGE, *RUNS), **REPLAY})
async def migrate_session(
    session: SessionPath, body: MigrateRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Let a session continue with another version, or with the service's revision of the arithmetic.

    It is then at step 0 of a new epoch.
    """
    answer = await services.replays.migrate(session, body.model, body.how, body.identity(key))
    return changed(answer, response)
