"""Routes of sessions that learn while they serve: targets of steps, what was learnt, and its publication."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Response

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import (
    ARRAYS,
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
from cellar.api.schemas.catalogue.models import ModelAnswer
from cellar.api.schemas.session.learning import LearningAnswer, TargetsRequest
from cellar.api.schemas.session.sessions import ChangeAnswer, Placed
from cellar.errors import KernelRevisionMismatch, NotKept, Overloaded, StateNotFinite
from cellar.wire.numbers.numbers import parse_array

router = APIRouter(prefix="/v1/sessions/{session}", tags=["learning"], route_class=JsonRoute)
LEARNS = (*SESSION, NotKept)


@router.post("/targets", responses={**answers(*LEARNS, *BODY, *ARRAYS, *CHANGE, StateNotFinite), **REPLAY})
async def give_targets(
    session: SessionPath, body: TargetsRequest, services: Parts, response: Response, key: IdempotencyKey = None
) -> ChangeAnswer:
    """Teach a session the targets of steps that it has made, each once. Later steps use what was learnt.

    A repetition changes nothing: a step has one target. The step number stays, and the position is a new one.
    """
    targets = parse_array(body.targets, pointer="/targets", ndim=2)
    epoch = None if body.epoch is None else bytes.fromhex(body.epoch)
    answer = await services.learning.learn(session, body.step, targets, body.identity(key), epoch=epoch)
    return changed(answer, response)


@router.get("/learning", responses=answers(*LEARNS, *MODEL, KernelRevisionMismatch))
async def read_learning(session: SessionPath, services: Parts) -> LearningAnswer:
    """Return how much a session has learnt: its errors before and after, and how far its weights have moved."""
    found = await services.learning.read(session)
    return LearningAnswer.of(session.session, found)


@router.post("/learning/reset", responses={**answers(*LEARNS, *BODY, *CHANGE), **REPLAY})
async def reset_learning(
    session: SessionPath,
    services: Parts,
    response: Response,
    body: Placed | None = None,
    key: IdempotencyKey = None,
) -> ChangeAnswer:
    """Return a session to its version: what it has learnt is forgotten, and its hidden state stays."""
    answer = await services.learning.forget(session, (body or Placed()).identity(key))
    return changed(answer, response)


@router.post(
    "/learning/publish",
    status_code=201,
    response_description="Published; the same version again if nothing was learnt since.",
    responses={201: {"headers": LOCATION_HEADERS}, **answers(*LEARNS, *MODEL, KernelRevisionMismatch, Overloaded)},
)
async def publish_learning(session: SessionPath, services: Parts, response: Response) -> ModelAnswer:
    """Publish the version of a session with what it has learnt in its last layer, as the newest of its model.

    The session stays on its version. With keys this needs the scope `train` as well.
    """
    version = await services.learning.publish(session)
    network = await run_sync(services.registry.network, version)
    response.headers["Location"] = f"/v1/models/{version.ref}"
    return ModelAnswer.of(version, network)
