"""What Schemathesis has to be told of Cellar's media types: lines of JSON are sent as the text that they are."""

import json
from typing import Any

import schemathesis


def _as_text(_context: Any, value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode(errors="replace")


schemathesis.serializer("application/x-ndjson")(_as_text)
