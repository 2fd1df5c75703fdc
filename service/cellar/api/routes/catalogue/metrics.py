"""The routes `/metrics`, for Prometheus, and `/v1/stats`, the same for people and pages."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cellar.api.dependencies import CallerOf, Parts
from cellar.api.errors.problems import answers
from cellar.api.http.negotiation import answer_type
from cellar.api.routes.catalogue.service_facts import all_series, facts_of, stats_of
from cellar.api.routes.json_route import JsonRoute
from cellar.api.schemas.catalogue.stats import StatsAnswer
from cellar.errors import NotAcceptable
from cellar.metrics.exposition import OPEN_METRICS, PROMETHEUS, as_text

router = APIRouter(tags=["metrics"], route_class=JsonRoute)

TYPES = {"text/plain": PROMETHEUS, "application/openmetrics-text": OPEN_METRICS}


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        **answers(NotAcceptable),
        200: {
            "description": "The metrics of the service, in the format that Accept asks for.",
            "content": {kind: {"schema": {"type": "string"}} for kind in TYPES},
        },
    },
)
async def read_metrics(request: Request, services: Parts) -> Response:
    """Return the metrics of all processes of the service in the text format of Prometheus, or in OpenMetrics.

    With API keys it needs one with the scope `metrics`.
    """
    kind = answer_type(request.headers, tuple(TYPES))
    series = all_series(await facts_of(services))
    text = as_text(series, open_metrics=TYPES[kind] is OPEN_METRICS)
    return Response(text, headers={"content-type": TYPES[kind]})


@router.get("/v1/stats", responses=answers())
async def read_stats(services: Parts, caller: CallerOf) -> StatsAnswer:
    """Return the state of the service: steps per second, latencies, durability, processes, sessions, models and jobs.

    A key without the scope `metrics` sees the models and jobs of its tenant, and nothing that counts those of others.
    """
    return stats_of(await facts_of(services), None if "metrics" in caller.scopes else caller.tenant)
