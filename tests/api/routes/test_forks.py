"""Forks over HTTP."""

import httpx
import pytest

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": {"equations": "h = 2 * h + x"}, "hidden_size": 1}]}


async def test_every_child_is_answered_with_where_it_begins_or_why_not(client: httpx.AsyncClient) -> None:
    await client.post("/v1/models", json={"name": "forked", "network": NETWORK})
    for session in ("parent", "taken"):
        assert (await client.post("/v1/sessions", json={"model": "forked", "session": session})).status_code == 201
    here = (await client.post("/v1/sessions/parent/step", json={"input": [3]})).json()["position"]
    body = {"names": ["left", "taken"], "position": here, "ttl_s": 60}
    answers = [await client.post("/v1/sessions/parent/fork", json=body) for _ in range(2)]
    first, again = [answer.json() for answer in answers]
    assert first == again
    assert [answer.status_code for answer in answers] == [200, 200]
    left, taken = first["children"]
    assert (first["position"], left["session"], left["step"], left["problem"]) == (here, "left", 0, None)
    assert (taken["session"], taken["position"]) == ("taken", None)
    assert taken["problem"]["type"] == "urn:cellar:problem:already_exists"
    child = (await client.get("/v1/sessions/left")).json()
    assert (child["position"], child["ttl_s"], child["model"]) == (left["position"], 60, "forked@1")
    step = {"input": [1], "position": left["position"]}
    assert (await client.post("/v1/sessions/left/step", json=step)).json()["output"] == [7.0]

    counted = await client.post("/v1/sessions/parent/fork", json={"count": 3}, headers={"Idempotency-Key": "k"})
    assert len({child["session"] for child in counted.json()["children"]}) == 3
    other = await client.post("/v1/sessions/parent/fork", json={"count": 4}, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["type"]) == (422, "urn:cellar:problem:fingerprint_mismatch")
