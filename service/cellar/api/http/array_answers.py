"""Parts of the OpenAPI document for steps whose bodies and answers are JSON or npy."""

from typing import Any

from pydantic import BaseModel

from cellar.api.http.body import body_of, bytes_of
from cellar.api.http.parameters import REPLAY
from cellar.api.http.query_and_headers import TIMEOUT
from cellar.api.schemas.names import MOST_TIMEOUT_MS
from cellar.wire.arrays import npy

POSITION = "Cellar-Position"
STEP_NUMBER = "Cellar-Step"

TIMEOUT_PARAMETER = {
    "name": TIMEOUT,
    "in": "header",
    "required": False,
    "description": "Milliseconds in which the request must begin to run; after that it is not applied.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST_TIMEOUT_MS},
}


def array_body(json: type[BaseModel], query: type[BaseModel], shape: str) -> dict[str, Any]:
    """Return the OpenAPI description of a body: a JSON document, or an npy file of that shape with a query."""
    body = body_of(json, npy.MEDIA_TYPE)
    body["content"][npy.MEDIA_TYPE] = bytes_of(f"An npy file of real numbers, {shape}.")
    return {"requestBody": body, "parameters": [*parameters_of(query, "an npy body"), TIMEOUT_PARAMETER]}


def parameters_of(query: type[BaseModel], body: str) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters of a query that completes a body which is not JSON."""
    return [_parameter(name, about, body) for name, about in query.model_json_schema()["properties"].items()]


def array_answer(shape: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response of steps in npy, besides the JSON document that the route declares."""
    about = f"An npy file, float32, {shape}. A replay whose output was not kept is answered as JSON."
    headers: dict[str, Any] = {
        **REPLAY[200]["headers"],
        POSITION: {"description": "With an npy file: the position.", "schema": {"type": "string"}},
        STEP_NUMBER: {"description": "With an npy file: the step.", "schema": {"type": "integer"}},
    }
    return {200: {"content": {npy.MEDIA_TYPE: bytes_of(about)}, "headers": headers}}


def _parameter(name: str, schema: dict[str, Any], body: str) -> dict[str, Any]:
    bare = {key: value for key, value in schema.items() if key not in ("description", "default", "title")}
    about = f"With {body}. {schema['description']}"
    return {"name": name, "in": "query", "required": False, "description": about, "schema": bare}
