"""The OpenAPI document of the service, generated from the routes with examples of requests, and its route."""

import json
from asyncio import Lock
from importlib.resources import files
from typing import Any, cast

import orjson
from anyio.to_thread import run_sync
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from cellar import __version__
from cellar.api.http.body import JSON
from cellar.api.http.query_and_headers import check_query
from cellar.api.routes import router
from cellar.api.schemas.catalogue.datasets import SessionsDatasetRequest
from cellar.api.schemas.catalogue.models import ModelRequest, UploadForm, VersionRequest, WeightsAnswer
from cellar.api.schemas.problems import Problem
from cellar.api.schemas.session.sequence_stream import LongAnswer, LongEnd, LongStep, LongSteps
from cellar.api.schemas.session.sessions import SessionLine, SessionLineAnswer, StateRequest
from cellar.api.schemas.session.steps import SequenceLine, SequenceRequest, StepLine, StepRequest
from cellar.api.specs.client_schemas import for_clients

DESCRIPTION = """Recurrent networks whose hidden state outlives the request: create a model, open a session, post steps.

Every error is an `application/problem+json` document (RFC 9457) whose `type` is `urn:cellar:problem:` and the name
that stands first in the descriptions below."""

UNDECLARED: tuple[type[BaseModel], ...] = (
    LongAnswer,
    LongEnd,
    LongStep,
    LongSteps,
    ModelRequest,
    Problem,
    SequenceLine,
    SequenceRequest,
    SessionLine,
    SessionLineAnswer,
    SessionsDatasetRequest,
    StateRequest,
    StepLine,
    StepRequest,
    UploadForm,
    VersionRequest,
    WeightsAnswer,
)
"""Models of bodies and answers that routes read and write themselves, so that FastAPI does not know them."""

TAGS = {
    "models": "Networks with weights, in versions that never change.",
    "cells": "Cells as equations.",
    "sessions": "A model's state, kept between requests.",
    "steps": "Steps of sessions: one, a sequence, or many.",
    "state": "The state of sessions: read, write and reset it, snapshots and forks.",
    "learning": "Sessions that learn from targets which are given later.",
    "events": "Changes of sessions as server-sent events.",
    "past": "Earlier states, logs, replays and other versions.",
    "datasets": "Files of readings that are kept as tables.",
    "jobs": "Training jobs.",
    "sweeps": "Searches for the best settings of a training job.",
    "keys": "API keys, and tickets that stand for one for some seconds.",
    "limits": "Quotas of tenants, and limits of the service.",
    "metrics": "Metrics for Prometheus, and statistics for people.",
    "health": "Checks of the service for operators.",
}


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    found = get_openapi(
        title="Cellar",
        version=__version__,
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[{"name": name, "description": description} for name, description in TAGS.items()],
        routes=router.routes,
        separate_input_output_schemas=False,
    )
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in UNDECLARED], ref_template="#/components/schemas/{model}"
    )
    found["components"]["schemas"] |= schemas["$defs"]
    add_request_examples(found)
    return cast(dict[str, Any], for_clients(found))


def text() -> str:
    """Return the text of `openapi/openapi.json`."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def add_request_examples(document: dict[str, Any]) -> None:
    """Add bodies and parameters that are accepted to the operations of an OpenAPI document."""
    found = json.loads(files("cellar.api.specs").joinpath("request_examples.json").read_text())
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_bodies(operation, found["bodies"].get(f"{method.upper()} {path}", {}))
            _add_parameters(operation, found["parameters"])


def _add_bodies(operation: dict[str, Any], examples: dict[str, Any]) -> None:
    for media_type, named in examples.items():
        operation["requestBody"]["content"][media_type]["examples"] = named


def _add_parameters(operation: dict[str, Any], values: dict[str, str]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            value = values[parameter["name"]]
            parameter["example"] = int(value) if parameter["schema"].get("type") == "integer" else value


PATH = "/openapi.json"


class OpenApiDocument:
    """Answers with the document. To generate it takes half a second, for which the event loop would be blocked."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._making = Lock()

    async def answer(self, request: Request) -> Response:
        """Return the document as JSON. Raise InvalidParameter if there is a query."""
        check_query(request, ())
        async with self._making:
            if self._content is None:
                self._content = await run_sync(lambda: orjson.dumps(document()))
        return Response(self._content, media_type=JSON)
