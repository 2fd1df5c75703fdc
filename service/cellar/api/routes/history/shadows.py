"""Routes for the shadow of a session: a second version that is stepped with the same inputs, without delaying it."""

from fastapi import APIRouter

from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import BODY, MODEL, SESSION, SessionPath
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.history.shadows import ShadowAnswer, ShadowRequest
from cellar.errors import ModelUnfit, NotKept, ShadowUnknown

router = APIRouter(prefix="/v1/sessions/{session}/shadow", tags=["past"], route_class=JsonRoute)


@router.put("", responses=answers(*SESSION, *BODY, *MODEL, NotKept, ModelUnfit))
async def begin_shadow(session: SessionPath, body: ShadowRequest, services: Parts) -> ShadowAnswer:
    """Start a shadow of a session that has a log. An earlier shadow of the session ends."""
    return ShadowAnswer.of(session.session, await services.shadows.put(session, body.model))


@router.get("", responses=answers(*SESSION, ShadowUnknown))
async def read_shadow(session: SessionPath, services: Parts) -> ShadowAnswer:
    """Return the progress of the shadow, and how its outputs differ from those of the session."""
    return ShadowAnswer.of(session.session, await services.shadows.get(session))


@router.delete("", status_code=204, response_description="Ended", responses=answers(*SESSION, ShadowUnknown))
async def end_shadow(session: SessionPath, services: Parts) -> None:
    """End the shadow and delete its results."""
    await services.shadows.delete(session)
