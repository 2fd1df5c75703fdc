"""The parts of the service that routes use, and FastAPI dependencies that give them and the caller to a route."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request

from cellar.api.limits.compile_limit import CompileLimit
from cellar.api.outcomes.middleware import CALLER
from cellar.datasets.datasets import Datasets
from cellar.jobs.backtests.backtests import Backtests
from cellar.jobs.following import JobFollowing
from cellar.jobs.submission.submission import Jobs
from cellar.jobs.sweeps.sweeps import Sweeps
from cellar.keys.key_ring import KeyRing
from cellar.metrics.process_metrics import ProcessMetrics
from cellar.models.registry import Registry
from cellar.ports import Caller
from cellar.quotas.quotas import Quotas
from cellar.sessions.events.hub import EventHub
from cellar.sessions.history.history import SessionHistory
from cellar.sessions.history.logged_steps import SessionLogs
from cellar.sessions.history.replay_migrate import Replays
from cellar.sessions.history.shadows import Shadows
from cellar.sessions.operations.bulk_deletion import BulkDeletions
from cellar.sessions.operations.forecasts import Forecasts
from cellar.sessions.operations.forks import Forks
from cellar.sessions.operations.model_deletion import Deletions
from cellar.sessions.operations.snapshots import Snapshots
from cellar.sessions.operations.warm_ups import WarmUps
from cellar.sessions.service.learning import SessionLearning
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.service.states import States


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the service that the composition root gives to the routes."""

    sessions: Sessions
    states: States
    learning: SessionLearning
    snapshots: Snapshots
    forks: Forks
    forecasts: Forecasts
    warm_ups: WarmUps
    histories: SessionHistory
    session_logs: SessionLogs
    replays: Replays
    shadows: Shadows
    event_hub: EventHub
    registry: Registry
    compiles: CompileLimit
    deletions: Deletions
    bulk_deletions: BulkDeletions
    datasets: Datasets
    jobs: Jobs
    backtests: Backtests
    job_following: JobFollowing
    sweeps: Sweeps
    sweep_following: JobFollowing
    keys: KeyRing | None
    """The API keys; None if the service has no pepper for them."""
    quotas: Quotas
    """The quotas of tenants."""
    ready: Callable[[], Awaitable[dict[str, Any]]]
    """Return the durability and other facts of the connected store, or raise Unavailable."""
    store_memory: Callable[[], tuple[int, int]]
    """Return the memory that the store used at its last check, and its limit, bytes; 0 is no limit."""
    refresh_others: Callable[[], Awaitable[None]]
    """Have the other processes of this service read what this one has changed."""
    metrics: ProcessMetrics
    """The metrics of this process, and of the service."""


def services_of(request: Request) -> Services:
    """Return the parts of the application that serves this request."""
    services: Services = request.app.state.services
    return services


async def _services(request: Request) -> Services:  # FastAPI would call a plain function on a thread
    return services_of(request)


Parts = Annotated[Services, Depends(_services)]


def caller_of(request: Request) -> Caller:
    """Return who sent this request."""
    caller: Caller = request.scope[CALLER]
    return caller


async def _caller(request: Request) -> Caller:  # as `_services`
    return caller_of(request)


CallerOf = Annotated[Caller, Depends(_caller)]
