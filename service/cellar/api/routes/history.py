"""Routes for the log of a session, for earlier states, replays and migrations on other versions, and for shadows."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

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
    Limit,
    SessionPath,
)
from cellar.api.http.path_segments import session_path
from cellar.api.routes.json_route import JsonRoute
from cellar.api.routes.session.state import changed
from cellar.api.schemas.history import (
    HistoryAnswer,
    LogAnswer,
    MigrateRequest,
    ReplayAnswer,
    ReplayRequest,
    RewindRequest,
    ShadowAnswer,
    ShadowRequest,
)
from cellar.api.schemas.session.sessions import ChangeAnswer
from cellar.errors import (
    AlreadyExists,
    IdUnknown,
    ModelUnfit,
    NotKept,
    OutOfReach,
    OutputNotFinite,
    ShadowUnknown,
    ShapeMismatch,
    StateNotFinite,
    StepFailed,
    TypeMismatch,
)

MAX_CHANGE = 2**53

After = Annotated[
    int, Query(ge=-1, le=MAX_CHANGE, description="Continues after the change with this number; -1 to begin.")
]

FAULTS = (ShapeMismatch, IdUnknown, TypeMismatch, StateNotFinite, OutputNotFinite, StepFailed)
RUNS = (ModelUnfit, NotKept, OutOfReach, *FAULTS)
router = APIRouter(prefix="/v1/sessions/{session}", tags=["past"], route_class=JsonRoute)


@router.get("/history", responses=answers(*SESSION))
async def read_history(session: SessionPath, services: Parts) -> HistoryAnswer:
    """Return the states to which the session can be rewound: those that are kept, and those that its log leads to."""
    return HistoryAnswer.of(session.session, await services.histories.history(session))


@router.post(
    "/rewind",
    responses={
        **answers(*SESSION, *BODY, *CHANGE, NotKept, OutOfReach, StateNotFinite, OutputNotFinite, StepFailed),
        **REPLAY,
    },
)
async def rewind_session(
    session: SessionPath, body: RewindRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Rewind a session to an earlier state, exactly. It is then at step 0 of a new epoch."""
    answer = await services.histories.rewind(session, body.back(), body.identity(key))
    return changed(answer, response)


@router.get("/log", responses=answers(*SESSION, NotKept))
async def read_log(session: SessionPath, services: Parts, after: After = -1, limit: Limit = 100) -> LogAnswer:
    """Return logged changes, oldest first. A page has fewer changes if their inputs are large."""
    log = await services.histories.log(session, after, limit)
    return await run_sync(LogAnswer.of, log)


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
        response.headers["Location"] = session_path(found.session.session)
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


@router.put("/shadow", responses=answers(*SESSION, *BODY, *MODEL, NotKept, ModelUnfit))
async def begin_shadow(session: SessionPath, body: ShadowRequest, services: Parts) -> ShadowAnswer:
    """Start a shadow of a session that has a log. An earlier shadow of the session ends."""
    return ShadowAnswer.of(session.session, await services.shadows.put(session, body.model))


@router.get("/shadow", responses=answers(*SESSION, ShadowUnknown))
async def read_shadow(session: SessionPath, services: Parts) -> ShadowAnswer:
    """Return the progress of the shadow, and how its outputs differ from those of the session."""
    return ShadowAnswer.of(session.session, await services.shadows.get(session))


@router.delete("/shadow", status_code=204, response_description="Ended", responses=answers(*SESSION, ShadowUnknown))
async def end_shadow(session: SessionPath, services: Parts) -> None:
    """End the shadow and delete its results."""
    await services.shadows.delete(session)
