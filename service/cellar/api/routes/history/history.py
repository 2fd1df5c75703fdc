"""Routes for the history and the log of a session, and the rewind to an earlier state."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import BODY, CHANGE, REPLAY, SESSION, IdempotencyKey, Limit, SessionPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.routes.session.state import changed
from cellar.api.schemas.history.history import HistoryAnswer, LogAnswer, RewindRequest
from cellar.api.schemas.session.sessions import ChangeAnswer
from cellar.errors import NotKept, OutOfReach, OutputNotFinite, StateNotFinite

MAX_CHANGE = 2**53

After = Annotated[
    int, Query(ge=-1, le=MAX_CHANGE, description="Continues after the change with this number; -1 to begin.")
]

router = APIRouter(prefix="/v1/sessions/{session}", tags=["past"], route_class=JsonRoute)


@router.get("/history", responses=answers(*SESSION))
async def read_history(session: SessionPath, services: Parts) -> HistoryAnswer:
    """Return the states to which the session can be rewound: those that are kept, and those that its log leads to."""
    return HistoryAnswer.of(session.session, await services.histories.history(session))


@router.post(
    "/rewind",
    responses={
        **answers(*SESSION, *BODY, *CHANGE, NotKept, OutOfReach, StateNotFinite, OutputNotFinite),
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
