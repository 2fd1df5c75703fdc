"""The ready-made parts that the routes call."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from cellar.api.compiles import Compiles
from cellar.jobs.submission import Jobs
from cellar.registry import Registry
from cellar.runtime.deletions import Deletions
from cellar.runtime.forks import Forks
from cellar.runtime.past import Pasts
from cellar.runtime.replays import Replays
from cellar.runtime.sessions import Sessions
from cellar.runtime.shadows import Shadows
from cellar.runtime.snapshots import Snapshots
from cellar.runtime.states import States
from cellar.runtime.watchers import Watchers

TENANT = "default"
"""Whose everything is, as long as there are no keys."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the composition root hands to the api."""

    sessions: Sessions
    states: States
    snapshots: Snapshots
    forks: Forks
    pasts: Pasts
    replays: Replays
    shadows: Shadows
    watchers: Watchers
    registry: Registry
    compiles: Compiles
    deletions: Deletions
    jobs: Jobs
    ready: Callable[[], Awaitable[dict[str, Any]]]
    """Return what the connected store really gives, or raise Unavailable."""


def services_of(request: Request) -> Services:
    """Return the parts of the application that serves this request."""
    services: Services = request.app.state.services
    return services


Parts = Annotated[Services, Depends(services_of)]
