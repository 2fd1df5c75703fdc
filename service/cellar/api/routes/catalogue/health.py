"""The routes `/healthz` and `/readyz`: whether the process is alive, and whether it can serve requests."""

from fastapi import APIRouter

from cellar import __version__
from cellar.api.dependencies import Parts
from cellar.api.errors.problems import answers
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.health import HealthAnswer, ReadyAnswer
from cellar.errors import StoreUnavailable
from cellar.extension_modules import FORM

router = APIRouter(tags=["health"], route_class=JsonRoute)


@router.get("/healthz", responses=answers())
async def health() -> HealthAnswer:
    """Answer if the process can answer at all. Nothing else is checked."""
    return HealthAnswer(status="alive", version=__version__)


@router.get("/readyz", responses=answers(StoreUnavailable))
async def ready(services: Parts) -> ReadyAnswer:
    """Answer 200 if requests can be served now, with the guarantees of the connected store and the form of the code."""
    return ReadyAnswer(status="ready", build=FORM, store=await services.ready())
