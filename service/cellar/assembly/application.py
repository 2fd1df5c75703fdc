"""Creates the application of an api process. It imports the routes and FastAPI, which take most of a start."""

import resource
from dataclasses import fields, replace
from functools import partial

from fastapi import FastAPI

from cellar.api.app import create_app as create_api
from cellar.api.dependencies import Services
from cellar.api.limits.limits import Limits, Load
from cellar.api.middleware.access import Access
from cellar.api.middleware.node_routing import Nodes
from cellar.api.outcomes.outcome import Outcomes
from cellar.api.outcomes.request_log import RequestLog
from cellar.assembly.service import Api
from cellar.metrics.process_metrics import ProcessMetrics
from cellar.ports.peers import Peers
from cellar.process import connections_within
from cellar.settings import Settings
from cellar.settings.limit_table import MACHINE


def create_app(settings: Settings, peers: Peers | None = None, metrics: ProcessMetrics | None = None) -> FastAPI:
    """Return the application with all its parts; nothing is connected yet. Raise as `Api`.

    `metrics` are those that it publishes, by default for itself alone.
    """
    api = Api(settings, peers, metrics)
    app = create_api(
        api.services,
        Access.of(settings.host, settings.allowed_hosts, settings.allowed_origins),
        max_body_bytes=settings.max_body_bytes,
        replay_window=settings.replay_window,
        temporary_files=api.temporary_files,
        credentials=api.services.keys if settings.needs_keys else None,
        nodes=None if settings.node is None else Nodes(settings.nodes, settings.node),
        limits=_limits(settings),
        has_page=settings.page,
        machine_limits={name: getattr(settings, name) for name in MACHINE},
        outcomes=Outcomes(RequestLog(settings.log_requests).note, wants_all=settings.log_requests > 0),
        lifespan=api.lifespan,
    )
    api.services.metrics.gauges = partial(_gauges, app)
    return app


def _gauges(app: FastAPI) -> dict[str, float]:
    """Return the gauges of the process, by the names of their metrics."""
    services: Services = app.state.services
    load: Load = app.state.load
    followers = services.job_following.followers + services.sweep_following.followers
    return services.sessions.steps.scheduler.gauges | {
        "cellar_request_memory_bytes": load.memory.held_bytes,
        "cellar_websockets": load.streams,
        "cellar_event_subscribers": services.event_hub.subscribers + followers,
    }


def _limits(settings: Settings) -> Limits:
    """Return the limits of the settings, with the connections limited by the open files of the process."""
    limits = Limits(**{field.name: getattr(settings, field.name) for field in fields(Limits)})
    most = connections_within(settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return replace(limits, max_connections=most)
