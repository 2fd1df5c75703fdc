"""Many sessions in one request: created line by line, and deleted by a filter."""

import json
from typing import Any

import httpx
import pytest

from cellar.api.bulk.creation import MOST_SESSIONS
from cellar.wire.json import lines

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}


@pytest.fixture(scope="module", autouse=True)
async def model(client: httpx.AsyncClient) -> None:
    """Create the model of this file."""
    assert (await client.post("/v1/models", json={"name": "gru", "network": NETWORK})).status_code == 201


async def create(client: httpx.AsyncClient, *sessions: Any) -> list[dict[str, Any]]:
    """Create sessions, given as documents or as bytes, and return the lines of the answer."""
    body = b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in sessions)
    answer = await client.post("/v1/sessions/bulk", content=body, headers={"Content-Type": lines.MEDIA_TYPE})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


async def test_each_line_has_its_answer(client: httpx.AsyncClient) -> None:
    found = await create(
        client,
        {"session": "one/1", "model": "gru", "batch_size": 2, "ttl_s": 60},
        {"session": "one/2", "model": "gru@1", "layers": [{"layer": 0, "cell": "gru", "h": [[0.5, 0.25, -1]]}]},
        {"session": "one/3", "model": "nothing"},
        b"",
        b'{"session": "one/4", "model": "gru", "model": "gru"}',
        {"session": "one/5", "model": "gru", "batch_size": 1_000_000},
        {"session": "one/1", "model": "gru", "batch_size": 2, "ttl_s": 60},
        {"session": "one/1", "model": "gru"},
        {"session": "one/6", "model": "gru", "layers": [{"layer": 0, "h": [[0.5, 0.25]]}]},
        {"session": "one/7", "model": "gru", "layers": []},
        {"model": "gru", "log": 5},
        b'{"session": "one/8"',
    )
    kinds = [each.get("type", "").rpartition(":")[2] or each.get("replayed", "") for each in found]
    assert kinds == [
        *("", "", "model_unknown", "invalid_input", "invalid_input", True, "already_exists"),
        *("shape_mismatch", "invalid_input", "", "malformed_json"),
    ]
    names = [each.get("session") for each in found[:9]]
    assert names == [f"one/{number}" for number in (1, 2, 3, 4, 5, 1, 1, 6, 7)]
    assert found[0] == (await client.get("/v1/sessions/one%2F1")).json() | {"expires": found[0]["expires"]}
    assert found[5]["position"] == found[0]["position"]
    state = (await client.get("/v1/sessions/one%2F2/state")).json()
    assert state["layers"][0]["h"] == [[0.5, 0.25, -1]]
    logged = (await client.get(f"/v1/sessions/{found[9]['session']}/log")).json()
    assert logged["entries"][0]["kind"] == "create"


async def test_a_session_with_a_state_is_stepped_and_replayed_from_it(client: httpx.AsyncClient) -> None:
    layers = [{"layer": 0, "h": [[0.5, 0.25, -1]]}]
    await create(client, {"session": "two/1", "model": "gru", "log": 10, "layers": layers})
    await create(client, {"session": "two/2", "model": "gru"})
    assert (await client.put("/v1/sessions/two%2F2/state", json={"layers": layers})).status_code == 200
    outputs = [
        (await client.post(f"/v1/sessions/two%2F{number}/step", json={"input": [1, 2]})).json()["output"]
        for number in (1, 2)
    ]
    assert outputs[0] == outputs[1]
    replayed = (await client.post("/v1/sessions/two%2F1/replay", json={"model": "gru"})).json()
    assert replayed["steps"] == 1
    assert (replayed["differences"]["steps"], replayed["differences"]["largest"]) == (1, 0)


async def test_a_session_with_a_state_is_rewound_and_replayed_on_another_version(client: httpx.AsyncClient) -> None:
    layers = [{"layer": 0, "h": [[0.5, 0.25, -1]]}]
    await create(client, {"session": "given/1", "model": "gru", "log": 10, "layers": layers})
    outputs = [
        (await client.post("/v1/sessions/given%2F1/step", json={"input": [number, 2]})).json()["output"]
        for number in range(2)
    ]
    logged = (await client.get("/v1/sessions/given%2F1/log")).json()["entries"]
    assert [each["kind"] for each in logged] == ["write", "step", "step"]
    replay = {"model": "gru", "session": "given/2"}
    assert (await client.post("/v1/sessions/given%2F1/replay", json=replay)).status_code in {200, 201}
    one, two = [(await client.get(f"/v1/sessions/given%2F{number}/state")).json() for number in (1, 2)]
    assert one["layers"] == two["layers"]
    assert (await client.post("/v1/sessions/given%2F1/rewind", json={"step": 1})).status_code == 200
    assert (await client.post("/v1/sessions/given%2F1/step", json={"input": [1, 2]})).json()["output"] == outputs[1]


async def test_a_request_may_be_repeated(client: httpx.AsyncClient) -> None:
    wanted = [{"session": f"three/{number}", "model": "gru"} for number in range(600)]
    first, again = await create(client, *wanted), await create(client, *wanted)
    assert [each["position"] for each in first] == [each["position"] for each in again]
    assert not any("replayed" in each for each in first)
    assert all(each["replayed"] for each in again)


async def test_the_request_as_a_whole_is_refused(client: httpx.AsyncClient) -> None:
    async def status(content: bytes, kind: str = lines.MEDIA_TYPE, **headers: str) -> int:
        sent = {"Content-Type": kind, **headers}
        return (await client.post("/v1/sessions/bulk", content=content, headers=sent)).status_code

    assert await status(b"{}", "application/json") == 415
    assert await status(b"{}", Accept="text/html") == 406
    assert await status(b"{\n" * (MOST_SESSIONS + 1)) == 422
    assert await status(b"x" * (256 * 1024 + 1)) == 413
    assert await status(b"\n\n") == 200


async def count(client: httpx.AsyncClient, prefix: str) -> int:
    """Return the number of sessions whose names begin so."""
    found = await client.request("DELETE", "/v1/sessions", params={"prefix": prefix, "dry_run": True})
    assert found.status_code == 200
    assert found.json()["deleted"] == 0
    return int(found.json()["matched"])


async def delete(client: httpx.AsyncClient, **params: Any) -> tuple[int, int]:
    """Delete sessions; return how many were selected, and how many of these were deleted."""
    found = (await client.request("DELETE", "/v1/sessions", params=params)).json()
    while found["state"] == "running":
        found = (await client.get(f"/v1/deletions/{found['deletion']}")).json()
    return found["matched"], found["deleted"]


async def test_sessions_are_deleted_by_prefix_and_model(client: httpx.AsyncClient) -> None:
    await client.post("/v1/models", json={"name": "other", "network": NETWORK, "seed": 1})
    await create(client, *[{"session": f"four/{n}", "model": ("gru", "other")[n % 2]} for n in range(700)])
    await create(client, {"session": "fourth", "model": "other"})
    assert await count(client, "four/") == 700
    assert await delete(client, prefix="four/1") == (111, 111)
    assert await delete(client, prefix="four/", model="other@1") == (294, 294)
    assert await count(client, "four/") == 295
    assert await delete(client, model="other") == (1, 1)
    assert (await client.get("/v1/sessions/fourth")).status_code == 404
    assert (await client.get("/v1/sessions/four%2F20")).status_code == 200
    assert (await client.get("/v1/sessions", params={"model": "other"})).json()["sessions"] == []


async def test_only_idle_sessions_are_deleted(client: httpx.AsyncClient) -> None:
    await create(
        client,
        {"session": "five/young", "model": "gru", "ttl_s": 3600},
        {"session": "five/pinned", "model": "gru", "pinned": True},
    )
    assert await delete(client, prefix="five/", idle_s=60) == (0, 0)
    assert await count(client, "five/") == 2


async def test_a_filter_is_needed(client: httpx.AsyncClient) -> None:
    for params in ({}, {"dry_run": "true"}, {"prefix": ""}):
        refused = await client.request("DELETE", "/v1/sessions", params=params)
        assert (refused.status_code, refused.json()["parameter"]) == (422, "prefix")
    for name, value in {"idle_s": "0", "model": "a b", "prefix": "\x00", "limit": "1"}.items():
        refused = await client.request("DELETE", "/v1/sessions", params={"prefix": "none", name: value})
        assert (refused.status_code, refused.json()["parameter"]) == (422, name)


async def test_a_repeated_request_is_the_same_deletion(client: httpx.AsyncClient) -> None:
    await create(client, {"session": "six/1", "model": "gru"})
    key = {"Idempotency-Key": "six"}
    first = await client.request("DELETE", "/v1/sessions", params={"prefix": "six/"}, headers=key)
    await create(client, {"session": "six/1", "model": "gru"})
    again = await client.request("DELETE", "/v1/sessions", params={"prefix": "six/"}, headers=key)
    assert first.json() == again.json()
    assert (again.json()["matched"], again.json()["deleted"]) == (1, 1)
    assert (await client.get("/v1/sessions/six%2F1")).status_code == 200
    other = await client.request("DELETE", "/v1/sessions", params={"prefix": "seven"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "urn:cellar:problem:fingerprint_mismatch")
    assert (await client.get(f"/v1/deletions/{first.json()['deletion']}")).json() == first.json()


async def test_an_unknown_deletion(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/deletions/{'0' * 24}")).json()["type"] == "urn:cellar:problem:deletion_unknown"
    assert (await client.get("/v1/deletions/none")).status_code == 422


async def test_sessions_in_lists_and_lines_are_written_as_one_alone(client: httpx.AsyncClient) -> None:
    """Byte by byte, except for the time of the answer."""
    options = {"model": "gru", "ttl_s": 60, "batch_size": 2, "history": 1, "log": 2, "events": 3}
    line = await client.post(
        "/v1/sessions/bulk",
        content=json.dumps({"session": "eight/é", **options, "pinned": True}),
        headers={"Content-Type": lines.MEDIA_TYPE},
    )
    alone = await client.get("/v1/sessions/eight%2F%C3%A9")
    listed = await client.get("/v1/sessions", params={"prefix": "eight/"})
    assert line.content == alone.content
    assert listed.content == b'{"sessions":[' + alone.content.rstrip() + b'],"cursor":""}\n'
    await create(client, {"session": "nine", **options})
    alone, listed = await client.get("/v1/sessions/nine"), await client.get("/v1/sessions", params={"prefix": "nine"})
    (one,) = listed.json()["sessions"]
    assert one | {"expires": ""} == alone.json() | {"expires": ""}
    assert [*one] == [*alone.json()]
    assert one["expires"].endswith("Z")
