"""The FastAPI application: its routes, its middleware, and the state that its connections share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from cellar import __version__
from cellar.api.dependencies import Services
from cellar.api.errors import problems
from cellar.api.fast_http.head_template import HeadTemplates
from cellar.api.http import conventions
from cellar.api.http.body import BodyLimit
from cellar.api.http.content_encoding import GzipAnswers, GzipBodies
from cellar.api.http.conventions import EndingNewlines, HeadRequests, RoutedPaths
from cellar.api.http.parameters import POSITION, RAN_ON, REPLAYED, STEP_NUMBER
from cellar.api.limits.limits import Limits, Load
from cellar.api.middleware.access import Access, AccessControl
from cellar.api.middleware.authentication import Authentication, Authenticator, Credentials
from cellar.api.middleware.node_routing import OWNER, NodeRouting, Nodes
from cellar.api.middleware.stopped import StoppedRequests
from cellar.api.outcomes.middleware import NoteScope, ReportOutcomes
from cellar.api.outcomes.outcome import Outcomes, no_outcomes
from cellar.api.outcomes.request_id import HEADER as REQUEST_ID
from cellar.api.page import DOCS_HEADERS, Page, SecuredFiles
from cellar.api.routes import router
from cellar.api.routes.direct import direct_routes
from cellar.api.routes.session.step_dispatch import StepDispatch
from cellar.api.sequence_stream.response import OpenSequences
from cellar.api.specs import openapi
from cellar.api.websocket.streams import Streams
from cellar.memory.temporary_files import TemporaryFiles

DOCS = Path(__file__).parent / "swagger"

EXPOSED_HEADERS = ("Location", "Retry-After", REPLAYED, POSITION, STEP_NUMBER, RAN_ON, OWNER, REQUEST_ID)
"""Headers of answers that a page of an allowed origin may read, besides those that every page may."""

CORS: dict[str, Any] = {
    "allow_methods": ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
    "allow_headers": ["*"],
    "expose_headers": EXPOSED_HEADERS,
}
"""The rights of pages of allowed origins."""


def create_app(
    services: Services,
    access: Access,
    *,
    max_body_bytes: int,
    replay_window: int,
    temporary_files: TemporaryFiles,
    credentials: Credentials | None = None,
    nodes: Nodes | None = None,
    limits: Limits | None = None,
    has_page: bool = True,
    outcomes: Outcomes | None = None,
    machine_limits: Mapping[str, float | None] | None = None,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """Return the application for the clients that `access` admits. `lifespan` starts and stops the parts.

    `credentials` checks API keys; without it no request needs one. `nodes` are the services of the fleet. All requests
    are reported to `outcomes`. `machine_limits` are shown by `/v1/limits`. Bodies over `max_body_bytes` are refused.
    Streams have at most `replay_window` steps of a session in flight. `has_page` is whether the page at `/` is served.
    """
    app = FastAPI(title="Cellar", version=__version__, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.services = services
    authenticator = app.state.authenticator = Authenticator(credentials)
    app.state.outcomes = outcomes = outcomes or no_outcomes()
    limits_of_streams = {"window": replay_window, "max_bytes": max_body_bytes}
    app.state.streams = Streams(services, access, authenticator, outcomes=outcomes, **limits_of_streams)
    app.state.sequences = OpenSequences()
    app.state.max_body_bytes = max_body_bytes
    app.state.temporary_files = temporary_files
    app.state.forms = HeadTemplates()
    app.state.direct = direct_routes(app)
    app.state.access = access
    app.state.machine_limits = machine_limits or {}
    app.state.load = Load(limits or Limits(), memory=services.sessions.memory)
    app.include_router(router)
    _add_pages(app, Page(needs_key=credentials is not None) if has_page else None)
    problems.install(app)
    _add_middleware(app, max_body_bytes, nodes)
    return app


def _add_middleware(app: FastAPI, max_body_bytes: int, nodes: Nodes | None) -> None:
    """Add the middleware, the innermost first."""
    access: Access = app.state.access
    load: Load = app.state.load
    app.add_middleware(StepDispatch)
    app.add_middleware(NoteScope)
    app.add_middleware(EndingNewlines)
    app.add_middleware(GzipAnswers)
    app.add_middleware(GzipBodies, max_body_bytes=max_body_bytes, memory=load.memory)
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes, memory=load.memory)
    if nodes is not None:
        app.add_middleware(NodeRouting, nodes=nodes)
    app.add_middleware(Authentication, authenticator=app.state.authenticator)
    app.add_middleware(HeadRequests)
    app.add_middleware(RoutedPaths)
    _add_access(app, access)
    app.add_middleware(StoppedRequests)
    app.add_middleware(ReportOutcomes, outcomes=app.state.outcomes)


def _add_access(app: FastAPI, access: Access) -> None:
    """Refuse the hosts and origins that `access` does not admit, and let admitted pages of other sites read answers."""
    if access.origins:
        app.add_middleware(CORSMiddleware, allow_origins=access.origins, **CORS)
    app.add_middleware(AccessControl, access=access)


def _add_pages(app: FastAPI, page: Page | None) -> None:
    """Add the page at `/`, the pages of the API, and the document that they show."""
    if page is not None:
        app.add_route("/", page.index)
        app.add_route("/page/{digest}/{path:path}", page.file)
    app.add_route(conventions.DOCS, conventions.to_docs)
    app.mount(conventions.DOCS, SecuredFiles(StaticFiles(directory=DOCS, html=True), DOCS_HEADERS))
    app.add_route(openapi.PATH, openapi.OpenApiDocument().answer)
