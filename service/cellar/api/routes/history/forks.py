"""Fork a session."""

from fastapi import APIRouter, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers, document_of
from cellar.api.http.json_route import JsonRoute
from cellar.api.http.parameters import BODY, CONFLICT, REPLAY, SESSION, IdempotencyKey, SessionPath, tell_replay
from cellar.api.schemas.history.forks import ChildAnswer, ForkAnswer, ForkRequest
from cellar.errors import FingerprintMismatch, ForkTooLarge

router = APIRouter(prefix="/v1/sessions/{session}", tags=["state"], route_class=JsonRoute)


@router.post("/fork", responses={**answers(*SESSION, *BODY, *CONFLICT, FingerprintMismatch, ForkTooLarge), **REPLAY})
async def fork_session(
    session: SessionPath, body: ForkRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ForkAnswer:
    """Make sessions that begin with the state of this one: of its model, at step 0 of epochs of their own.

    Each child is made on its own, and is answered with its position or with its problem. A request with `position` or
    an Idempotency-Key may come again, for a day: it makes those that are missing, of the state that the parent had the
    first time, and answers the same.
    """
    answer = await services.forks.fork(session, body.children, body.identity(key), ttl_s=body.ttl_s)
    tell_replay(response, replayed=answer.replayed)
    problems = [None if child.problem is None else document_of(child.problem) for child in answer.children]
    children = [*map(ChildAnswer.of, answer.children, problems)]
    return ForkAnswer(position=str(answer.position), children=children)
