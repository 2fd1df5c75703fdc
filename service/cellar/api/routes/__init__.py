"""The HTTP routes, one file for each resource."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from cellar.api.routes import history, snapshots
from cellar.api.routes.catalogue import aliases, cells, datasets, health, keys, limits, metrics, models, weights
from cellar.api.routes.session import bulk, events, forecasts, learning, many, sequence_stream, sessions, state, steps
from cellar.api.routes.training import backtest_jobs, backtests, jobs, sweeps
from cellar.api.routes.training import events as job_events


def _operation_id(route: APIRoute) -> str:
    """Name an operation as its function, which is what generated clients call it."""
    return route.name


router = APIRouter(generate_unique_id_function=_operation_id)
PARTS = (
    models,
    weights,
    aliases,
    cells,
    many,
    sessions,
    steps,
    bulk,
    sequence_stream,
    learning,
    state,
    forecasts,
    snapshots,
    history,
    events,
    datasets,
    backtests,
    backtest_jobs,
    jobs,
    job_events,
    sweeps,
    keys,
    limits,
)
for part in (*PARTS, health, metrics):
    router.include_router(part.router)
