"""Whatever is wrong with a request: a problem document that says where, and a session that has not moved."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.bad_past import PAST
from tests.api.bad_requests import ALL, NETWORK, PLACELESS, RESET, SEQUENCE, STEP, Bad
from tests.api.conftest import DOCUMENT, MAX_BODY_BYTES
from tests.api.specs.test_openapi import OPERATIONS

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
ROWS = 2
PARAMETERS = {"model", "session", "job", "limit", "cursor", "prefix", "pinned", "snapshot", "after"}

BODIES = [
    (path, method)
    for path, method in OPERATIONS
    if "application/json" in DOCUMENT["paths"][path][method].get("requestBody", {}).get("content", {})
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the requests of this file go: a model, and sessions of one and two rows that have made a step."""

    client: httpx.AsyncClient
    names: dict[str, str]

    def fill(self, text: str) -> str:
        """Put the names where the braces are."""
        for name, value in self.names.items():
            text = text.replace("{" + name + "}", value)
        return text

    async def states(self) -> list[Any]:
        """Return where the sessions are, and their states."""
        return [(await self.client.get(f"/v1/sessions/{self.names[name]}/state")).json() for name in ("one", "two")]

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post JSON."""
        return await self.client.post(self.fill(path), json=body, headers=headers)


@pytest.fixture(scope="module")
async def place(client: httpx.AsyncClient) -> Place:
    """Return a place whose sessions have moved, so that a change of their state would show."""
    names = {name: uuid.uuid4().hex for name in ("model", "one", "two")} | {"alias": "live"}
    place = Place(client, {**names, "id": 12 * "0", "sweep": "sweep"})
    assert (await place.post("/v1/models", {"name": names["model"], "network": NETWORK})).status_code == 201
    for name, rows in (("one", 1), ("two", ROWS)):
        body = {"session": names[name], "model": names["model"], "batch_size": rows}
        assert (await place.post("/v1/sessions", body)).status_code == 201
        assert (await place.post(f"/v1/sessions/{{{name}}}/step", {"input": [[1, -1]] * rows})).status_code == 200
    return place


@pytest.mark.parametrize("bad", ALL + PAST, ids=str)
async def test_it_is_refused_and_nothing_moves(place: Place, bad: Bad) -> None:
    before = await place.states()
    has_body = bad.method in ("POST", "PUT", "PATCH") and not bad.path.endswith("/cancel")
    content = bad.body if isinstance(bad.body, str) else json.dumps(bad.body)
    answer = await place.client.request(
        bad.method,
        place.fill(bad.path),
        content=place.fill(content) if has_body else None,
        headers=JSON if has_body else None,
    )
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (bad.status, f"urn:cellar:problem:{bad.slug}"), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == bad.status
    assert problem.get("pointer") == bad.pointer
    assert problem["title"]
    assert problem["detail"]
    if bad.slug.startswith("cell_") and bad not in PLACELESS:
        assert problem["excerpt"].splitlines()[1].index("^") == problem["column"] - 1
        assert problem["line"] >= 1
    if bad.slug == "invalid_parameter":
        assert problem["location"] in {"path", "query"}
        assert problem["parameter"] in PARAMETERS
    assert await place.states() == before


@pytest.mark.parametrize("key", ["", "ä", "x" * 256, "a\tb"])
@pytest.mark.parametrize("path", [STEP, SEQUENCE, RESET, "/v1/jobs"])
async def test_keys_are_printable_ascii(place: Place, path: str, key: str) -> None:
    before = await place.states()
    body = {STEP: {"input": [1, 2]}, SEQUENCE: {"inputs": [[1, 2]]}}.get(path, {})
    answer = await place.client.post(place.fill(path), json=body, headers=[(b"Idempotency-Key", key.encode())])
    assert answer.status_code == 422, answer.text
    assert (answer.json()["location"], answer.json()["parameter"]) == ("header", "Idempotency-Key")
    assert await place.states() == before


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """Yield a body of that many bytes which is sent chunked, without saying its length."""
    for _ in range(0, size, 4096):
        yield b" " * 4096


@pytest.mark.parametrize(("path", "method"), BODIES)
async def test_bodies_are_json_of_a_bounded_size(place: Place, path: str, method: str) -> None:
    before = await place.states()
    for content, headers, status, slug in (
        (b"{}", {}, 415, "unsupported_media_type"),
        (b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        (b"{", JSON, 400, "malformed_json"),
        (b'{"input": [1, 2],}', JSON, 400, "malformed_json"),
        (b'{"input": "\xff"}', JSON, 400, "malformed_json"),
        (b"[" * 100_000, JSON, 400, "malformed_json"),
        (b'{"a":' * 20_000, JSON, 400, "malformed_json"),
        (b'{"a": NaN}', JSON, 422, "not_finite"),
        (b'{"a": 1, "a": 1}', JSON, 422, "invalid_input"),
        (b'{"no_such_member": 1}', JSON, 422, "invalid_input"),
        (b" " * (MAX_BODY_BYTES + 1), JSON, 413, "body_too_large"),
        (in_pieces(MAX_BODY_BYTES + 1), JSON, 413, "body_too_large"),
    ):
        answer = await place.client.request(
            method, place.fill(path.replace("{session}", "{one}")), content=content, headers=headers
        )
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:cellar:problem:{slug}"), content
    assert await place.states() == before


ITEMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "input": ITEMS | st.lists(st.floats(width=32) | st.integers(), min_size=2, max_size=2),
        "position": ITEMS,
        "step": ITEMS,
        "layout": ITEMS,
    },
)


@given(body=ITEMS | STEPS, rows=st.sampled_from(["one", "two"]), name=st.sampled_from(["step", "sequence"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_body_is_answered_or_refused(place: Place, body: Any, rows: str, name: str) -> None:
    if name == "sequence" and isinstance(body, dict) and "input" in body:
        body = {("inputs" if member == "input" else member): value for member, value in body.items()}
    before = await place.states()
    answer = await place.client.post(
        place.fill(f"/v1/sessions/{{{rows}}}/{name}"), content=json.dumps(body), headers=JSON
    )
    assert answer.status_code in {200, 409, 422}, answer.text
    if answer.status_code != 200:
        assert answer.json()["type"].startswith("urn:cellar:problem:")
        assert await place.states() == before
