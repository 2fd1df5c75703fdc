"""The page of stored data names every key that the service leaves in Redis."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import httpx
import pytest
import redis

from tests.docs.pages import DOCS

PREFIX = re.compile(r"^test-[0-9a-f]{32}-demo:")

LAYER = {"type": "recurrent", "cell": {"equations": "h = sigmoid(b_k) * h + x"}, "hidden_size": 1}


def documented() -> list[str]:
    """Return the patterns of keys on the page."""
    text = (DOCS / "reference" / "stored-data.md").read_text()
    tables = re.findall(r"^\| (?:session|other) key \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    first_cells = re.findall(r"^\|(.*?)\|", "".join(tables), re.MULTILINE)
    return [key for cell in first_cells for key in re.findall(r"`(\S+)`", cell)]


@pytest.fixture
def client(service_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service_url, timeout=100) as client:
        yield client


def fill(client: httpx.Client) -> None:
    """Leave one of everything behind."""
    requests: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "/v1/models", {"name": "stored", "network": {"in_size": 1, "layers": [LAYER]}}),
        ("POST", "/v1/sessions", {"session": "stored", "model": "stored", "history": 2, "log": 9, "events": 9}),
        ("POST", "/v1/sessions/stored/step", {"input": [1]}),
        ("POST", "/v1/sessions/stored/snapshots", {"snapshot": "one"}),
        ("PUT", "/v1/sessions/stored/shadow", {"model": "stored"}),
        ("POST", "/v1/sessions/stored/fork", {"names": ["stored-child"]}),
        ("POST", "/v1/jobs", {"model": "stored", "data": {"layout": "T", "inputs": [1, 2], "targets": [1, 2]}}),
    ]
    for method, path, body in requests:
        client.request(method, path, json=body, headers={"Idempotency-Key": path}).raise_for_status()


def test_every_key_is_on_the_page(client: httpx.Client, redis_url: str) -> None:
    fill(client)
    with redis.Redis.from_url(redis_url, decode_responses=True) as connection:
        keys = [key for key in connection.scan_iter(count=1000) if PREFIX.match(key) or key.startswith("rq:")]
    patterns = [pattern.replace("[", "[[]") for pattern in documented()]
    real = [re.sub(r"^(cellar:\{default/)[^}]+", r"\1abc", PREFIX.sub("cellar:", key)) for key in keys]
    assert {key for key in real if not any(fnmatchcase(key, pattern) for pattern in patterns)} == set()
    kept = ["", ":t", ":k", ":l", ":e", ":s", ":x", ":f:*"]
    missing = [tail for tail in kept if not any(fnmatchcase(key, "cellar:{default/abc}" + tail) for key in real)]
    assert not missing, "the test leaves too little behind"
