"""Adds examples of requests to the OpenAPI document, which the service accepts.

`request_examples.json` is written by `make openapi` from the exchanges in `openapi/examples`, which tests replay.
"""

import json
from importlib.resources import files
from typing import Any


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
            parameter["example"] = values[parameter["name"]]
