"""The FastAPI application, made from ready parts."""

from pathlib import Path

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from cellar import __version__
from cellar.api import openapi, problems
from cellar.api.body import BodyLimit, Paths
from cellar.api.coding import GzipAnswers, GzipBodies
from cellar.api.forms import Forms
from cellar.api.hot import HotRoutes
from cellar.api.long.exchange import Underway
from cellar.api.routes import router
from cellar.api.services import Services
from cellar.api.streams.app import StreamRoutes, Streams

DOCS = Path(__file__).parent / "swagger"

STREAMS = Paths(r"/v1/steps", r"/v1/sessions/[^/]+/sequence/stream")
"""Paths whose bodies may be of any length, because they are read part by part."""


def create_app(
    services: Services,
    *,
    max_body_bytes: int,
    replay_window: int,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """Return the application. `lifespan` starts and stops the parts; bodies over `max_body_bytes` are refused.

    Streams have at most `replay_window` steps of a session in flight.
    """
    app = FastAPI(title="Cellar", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.services = services
    app.state.streams = Streams(services, window=replay_window, max_bytes=max_body_bytes)
    app.state.underway = Underway()
    app.state.max_body_bytes = max_body_bytes
    app.state.forms = Forms()
    app.include_router(router)
    app.mount("/docs", StaticFiles(directory=DOCS, html=True))
    app.openapi = openapi.document  # type: ignore[method-assign]  # FastAPI's documented way to give one's own
    problems.install(app)
    app.add_middleware(HotRoutes)
    app.add_middleware(GzipAnswers)
    app.add_middleware(GzipBodies, max_body_bytes=max_body_bytes, streams=STREAMS)
    app.add_middleware(BodyLimit, max_body_bytes=max_body_bytes, streams=STREAMS)
    app.add_middleware(StreamRoutes, streams=app.state.streams)
    return app
