"""What the OpenAPI document shows of `openapi/examples`: `python -m tests.api.request_examples` writes it down.

Shown are the bodies of requests that succeeded and that have no text which a service made up, at most one of each file
for an operation, and for each parameter of a path its value in the first file that has one. The first file is a tour
of all operations, on a model and a session whose names every operation then shows.
"""

import json
import re
from pathlib import Path
from typing import Any

from cellar.api.http.body import JSON
from cellar.api.specs import openapi
from cellar.wire.json import lines
from tests.api import examples

SHOWN = Path(openapi.__file__).with_name("request_examples.json")
MADE_UP = re.compile(r"[0-9a-f]{16}\.[0-9]+\.[0-9a-f]{32}")
"""A position."""

Patterns = dict[str, re.Pattern[str]]


def collect() -> dict[str, Any]:
    """Return the bodies by operation, media type and file, and the parameters of paths by name."""
    patterns = {path: re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path)) for path in openapi.document()["paths"]}
    bodies: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    for name, example in examples.load().items():
        for exchange in example["exchanges"]:
            if exchange["response"]["status"] < 300:
                path = _note_parameters(exchange["request"], patterns, parameters)
                _note_body(f"{exchange['request']['method']} {path}", exchange["request"], name, example, bodies)
    return {"bodies": bodies, "parameters": parameters}


def text() -> str:
    """Return them as they stand in `request_examples.json`."""
    return json.dumps(collect(), indent=2, ensure_ascii=False) + "\n"


def _note_parameters(request: dict[str, Any], patterns: Patterns, parameters: dict[str, str]) -> str:
    """Note the parameters of the request's path, and return the path as the document has it."""
    sent = request["path"].partition("?")[0]
    path, found = next((path, match) for path, one in patterns.items() if (match := one.fullmatch(sent)))
    for name, value in found.groupdict().items():
        parameters.setdefault(name, value)
    return path


def _note_body(operation: str, request: dict[str, Any], name: str, example: dict[str, Any], bodies: Any) -> None:
    value, media_type = request.get("body"), JSON
    if "lines" in request:
        value, media_type = "".join(json.dumps(line) + "\n" for line in request["lines"]), lines.MEDIA_TYPE
    if "text" in request:
        value, media_type = request["text"], request["headers"]["Content-Type"]
    if value is None or MADE_UP.search(json.dumps(value)):
        return
    shown = bodies.setdefault(operation, {}).setdefault(media_type, {})
    key = name.partition("-")[2]
    if key not in shown and all(other["value"] != value for other in shown.values()):
        shown[key] = {"summary": example["title"], "value": value}


if __name__ == "__main__":
    SHOWN.write_text(text())
