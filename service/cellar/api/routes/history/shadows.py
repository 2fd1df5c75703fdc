"""A session's shadow: a second version, stepped on the same inputs, beside the session and never in its way."""

from fastapi import APIRouter

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.json_route import JsonRoute
from cellar.api.http.parameters import BODY, MODEL, SESSION, SessionPath
from cellar.api.schemas.history.shadows import ShadowAnswer, ShadowRequest
from cellar.errors import ModelUnfit, NotKept, ShadowUnknown

router = APIRouter(prefix="/v1/sessions/{session}/shadow", tags=["past"], route_class=JsonRoute)


@router.put("", responses=answers(*SESSION, *BODY, *MODEL, NotKept, ModelUnfit))
async def begin_shadow(session: SessionPath, body: ShadowRequest, services: Parts) -> ShadowAnswer:
    """Let a version follow a session that has a log, from now on; another one that did so ends."""
    return ShadowAnswer.of(session.session, await services.shadows.put(session, body.model))


@router.get("", responses=answers(*SESSION, ShadowUnknown))
async def read_shadow(session: SessionPath, services: Parts) -> ShadowAnswer:
    """Return how far the shadow has followed, and how its outputs differ from those of the session."""
    return ShadowAnswer.of(session.session, await services.shadows.get(session))


@router.delete("", status_code=204, response_description="Ended", responses=answers(*SESSION, ShadowUnknown))
async def end_shadow(session: SessionPath, services: Parts) -> None:
    """End the shadow and forget what it has found."""
    await services.shadows.delete(session)
