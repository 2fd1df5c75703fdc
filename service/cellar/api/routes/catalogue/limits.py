"""The route `/v1/limits`: what the caller's tenant may use, and how much it uses."""

from fastapi import APIRouter, Request

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.parameters import STORE
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.limits import LimitsAnswer, QuotaAnswer, service_limits
from cellar.quotas.limits import ALL

router = APIRouter(prefix="/v1", tags=["limits"], route_class=JsonRoute)


@router.get("/limits", responses=answers(*STORE))
async def read_limits(request: Request, caller: CallerOf, services: Parts) -> LimitsAnswer:
    """Return the quotas of the caller's tenant with their use, and the limits of the service."""
    quotas = services.quotas
    states = await quotas.describe(caller.tenant)
    of_all = {state.name: quotas.limits.limit(ALL, state.name) for state in states}
    return LimitsAnswer(
        tenant=caller.tenant,
        quotas=[QuotaAnswer.of(state, of_all[state.name]) for state in states],
        service=service_limits(request.app.state.machine_limits),
    )
