"""The route that forks a session."""

from fastapi import APIRouter, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers, document_of
from cellar.api.http.parameters import BODY, CONFLICT, REPLAY, SESSION, IdempotencyKey, SessionPath, set_replayed
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.history.forks import ChildAnswer, ForkAnswer, ForkRequest
from cellar.errors import FingerprintMismatch, ForkTooLarge

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)


@router.post("/fork", responses={**answers(*SESSION, *BODY, *CONFLICT, FingerprintMismatch, ForkTooLarge), **REPLAY})
async def fork_session(
    session: SessionPath, body: ForkRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ForkAnswer:
    """Create sessions that begin with the state of this one: of its model, each at step 0 of a new epoch.

    Each child is created by itself, and answered with its position or its problem. A request with `position` or an
    Idempotency-Key can be repeated for a day: it creates the children that are missing, with the state that the parent
    had at the first request, and gives the same answer.
    """
    answer = await services.forks.fork(session, body.children, body.identity(key), ttl_s=body.ttl_s)
    set_replayed(response, replayed=answer.replayed)
    problems = [None if child.problem is None else document_of(child.problem) for child in answer.children]
    children = [*map(ChildAnswer.of, answer.children, problems)]
    return ForkAnswer(position=str(answer.position), children=children)
