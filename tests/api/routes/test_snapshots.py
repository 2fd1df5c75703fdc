"""Snapshots over HTTP."""

from typing import Any

import httpx
import pytest

from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "recurrent", "cell": {"equations": "h = 2 * h + x"}, "hidden_size": 1}],
}


async def call(client: httpx.AsyncClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Return the body of an answer that is no error."""
    answer = await client.request(method, f"/v1/sessions/s{path}", json=body, headers=headers)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def test_a_session_goes_back_to_what_it_was(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings, max_snapshots=2))) as client:
        await client.post("/v1/models", json={"name": "m", "network": NETWORK})
        await client.post("/v1/sessions", json={"session": "s", "model": "m"})
        here = await call(client, "POST", "/step", {"input": [3]})
        body = {"snapshot": "good", "position": here["position"]}
        first = await client.post("/v1/sessions/s/snapshots", json=body)
        assert (first.status_code, first.headers["location"]) == (201, "/v1/sessions/s/snapshots/good")
        taken = first.json()
        assert (taken["snapshot"], taken["model"], taken["step"]) == ("good", "m@1", 1)
        assert taken["position"] == here["position"]

        await call(client, "POST", "/step", {"input": [4]})
        again = await client.post("/v1/sessions/s/snapshots", json=body)
        assert (again.status_code, again.json()) == (200, taken)
        late = await client.post("/v1/sessions/s/snapshots", json={"snapshot": "good"})
        assert (late.status_code, late.json()["type"]) == (409, "urn:cellar:problem:already_exists")
        assert await call(client, "GET", "/snapshots/good") == taken
        assert await call(client, "GET", "/snapshots") == {"snapshots": [taken]}
        await call(client, "POST", "/snapshots", {"snapshot": "other"})
        full = await client.post("/v1/sessions/s/snapshots", json={"snapshot": "third"})
        assert (full.status_code, full.json()["type"]) == (409, "urn:cellar:problem:snapshots_full")

        for replayed in (False, True):
            answer = await client.post(
                "/v1/sessions/s/restore", json={"snapshot": "good"}, headers={"Idempotency-Key": "back"}
            )
            assert (answer.json()["step"], "idempotent-replayed" in answer.headers) == (0, replayed)
        assert (await call(client, "POST", "/step", {"input": [1]}))["output"] == [7.0]

        await call(client, "DELETE", "/snapshots/good")
        gone = await client.delete("/v1/sessions/s/snapshots/good")
        assert (gone.status_code, gone.json()["type"]) == (404, "urn:cellar:problem:snapshot_unknown")
        await call(client, "DELETE", "")
        assert (await client.get("/v1/sessions/s/snapshots")).status_code == 404
