"""The routes, a file for each resource."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from cellar.api.routes import (
    cells,
    events,
    forks,
    health,
    jobs,
    long,
    many,
    models,
    past,
    replays,
    sessions,
    shadows,
    snapshots,
    state,
    steps,
)


def _operation_id(route: APIRoute) -> str:
    """Name an operation as its function, which is what generated clients call it."""
    return route.name


router = APIRouter(generate_unique_id_function=_operation_id)
PARTS = (models, cells, sessions, steps, many, long, state, snapshots, forks, past, replays, shadows, events, jobs)
for part in (*PARTS, health):
    router.include_router(part.router)
