"""Redis is killed under a running service, and comes back."""

import json
from typing import Any

import httpx
import pytest

from cellar.main import create_app
from cellar.settings import Settings
from cellar.wire.json import lines
from tests.api.conftest import running, with_own_keys
from tests.api.specs.test_openapi import OPERATIONS
from tests.redis_process import RedisProcess

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 1}]}

JOB = {"model": "model", "data": {"inputs": [[0]], "targets": [[1]], "layout": "TF"}}

BODIES: dict[tuple[str, str], Any] = {
    ("/v1/models", "post"): {"name": "other", "network": NETWORK},
    ("/v1/models/{model}", "put"): {"network": NETWORK},
    ("/v1/models/{model}", "patch"): {"tags": ["new"]},
    ("/v1/models/{model}/aliases/{alias}", "put"): {"version": 1},
    ("/v1/cells", "post"): {"equations": "h = tanh(W @ x + h)", "sizes": {"in": 1, "hidden": 1}},
    ("/v1/sessions", "post"): {"model": "model"},
    ("/v1/sessions/{session}/step", "post"): {"input": [1]},
    ("/v1/sessions/{session}/sequence", "post"): {"inputs": [[1], [1]]},
    ("/v1/sessions/{session}/state", "put"): {"layers": [{"layer": 0, "h": [[1]]}]},
    ("/v1/sessions/{session}/state", "patch"): {"layers": [{"layer": 0, "h": [[1]]}]},
    ("/v1/sessions/{session}", "patch"): {"pinned": True},
    ("/v1/sessions/{session}/fork", "post"): {"count": 1},
    ("/v1/models/{model}/backtest", "post"): {"dataset": "none"},
    ("/v1/sessions/{session}/targets", "post"): {"step": 0, "targets": [[1]]},
    ("/v1/sessions/{session}/forecast", "post"): {"horizon": 2, "last": [[1]], "feedback": {"0": 0}},
    ("/v1/sessions/{session}/snapshots", "post"): {"snapshot": "snapshot"},
    ("/v1/sessions/{session}/restore", "post"): {"snapshot": "snapshot"},
    ("/v1/sessions/{session}/rewind", "post"): {"step": 0},
    ("/v1/sessions/{session}/replay", "post"): {"model": "model"},
    ("/v1/sessions/{session}/migrate", "post"): {"model": "model"},
    ("/v1/sessions/{session}/shadow", "put"): {"model": "model"},
    ("/v1/keys", "post"): {"name": "new", "scopes": ["read"]},
    ("/v1/keys/{id}/rotate", "post"): {"overlap_s": 0},
    ("/v1/jobs", "post"): JOB,
    ("/v1/backtests", "post"): {"model": "model", "dataset": "none"},
    ("/v1/sweeps", "post"): {"job": JOB, "parameters": {"seed": [1, 2]}},
    ("/v1/sweeps/{sweep}/trials", "post"): {"parameters": {"seed": 1}},
}
LINES = ("/v1/steps", "post")
"""Each line has an answer of its own, which may be that Redis is away."""

BULK = ("/v1/sessions/bulk", "post")
"""The same."""

LONG = ("/v1/sessions/{session}/sequence/stream", "post")

WHAT_NEEDS_MORE = {
    **{f"/v1/sessions/{{session}}/{kept}": "not_kept" for kept in ("events", "targets", "learning")},
    **{f"/v1/sessions/{{session}}/learning/{action}": "not_kept" for action in ("reset", "publish")},
    "/v1/models/{model}/backtest": "dataset_unknown",
}
"""Refusals of what the session was not asked to keep, and of a dataset that there is not."""

WITHOUT_REDIS = {("/healthz", "get"), ("/metrics", "get"), ("/v1/stats", "get"), ("/v1/cells", "post"), LINES, BULK}


async def call(client: httpx.AsyncClient, path: str, method: str, session: str = "session") -> httpx.Response:
    """Send a request that the service can answer while Redis is there."""
    names = {"model": "model", "alias": "live", "job": "job", "snapshot": "snapshot", "writer": "writer"}
    names |= {
        "deletion": 12 * "00",
        "id": 12 * "0",
        "dataset": "dataset",
        "sweep": "sweep",
        "trial": "1",
        "backtest": "test",
    }
    place = path.format(session=session, **names)
    if (path, method) == LINES:
        content = json.dumps({"session": "nobody", "input": [1]})
        return await client.request(method, place, content=content, headers={"Content-Type": lines.MEDIA_TYPE})
    if (path, method) == BULK:
        content = json.dumps({"session": "of-many", "model": "model"})
        return await client.request(method, place, content=content, headers={"Content-Type": lines.MEDIA_TYPE})
    if (path, method) == ("/v1/sessions", "delete"):
        place += "?prefix=of-many"
    if (path, method) == LONG:
        content = json.dumps({"input": [1]})
        return await client.request(method, place, content=content, headers={"Content-Type": lines.MEDIA_TYPE})
    if (path, method) == ("/v1/datasets", "post"):
        content, headers = "a,b\n1,2\n", {"Content-Type": "text/csv"}
        return await client.request(method, f"{place}?name=dataset", content=content, headers=headers)
    if path == "/v1/datasets/{dataset}/series":
        place += "?column=a"
    if (path, method) == ("/v1/models/{model}", "delete"):
        place += "?force=true"  # sessions depend on it
    return await client.request(method, place, json=BODIES.get((path, method)))


def _ends_much(operation: tuple[str, str]) -> tuple[bool, bool, int]:
    """Sort what creates before all else, and what deletes behind it, a part before the whole."""
    path, method = operation
    return method == "delete", method != "put", -len(path) if method == "delete" else 0


async def begin(client: httpx.AsyncClient, session: str) -> None:
    """Create a session with a past that has made a step."""
    body = {"model": "model", "session": session, "history": 8, "log": 100}
    assert (await client.post("/v1/sessions", json=body)).status_code == 201
    assert (await client.post(f"/v1/sessions/{session}/step", json={"input": [1]})).json()["step"] == 1


async def test_every_route_says_when_to_come_again_and_the_service_recovers(
    settings: Settings, redis_process: RedisProcess
) -> None:
    async with running(create_app(with_own_keys(settings, redis_url=redis_process.url))) as client:
        assert (await client.post("/v1/models", json={"name": "model", "network": NETWORK})).status_code == 201
        await begin(client, "session")

        redis_process.kill()
        for path, method in OPERATIONS:
            answer = await call(client, path, method)
            if path == "/v1/tickets":  # the caller has no key, which is all that a ticket needs
                assert answer.status_code == 422
                continue
            if (path, method) in WITHOUT_REDIS:
                assert answer.status_code == 200, (path, answer.text)
                continue
            assert answer.status_code == 503, (path, answer.text)
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["outcome"] in ({"not_applied"} if method == "get" else {"not_applied", "unknown"})

        redis_process.start()
        assert (await client.get("/readyz")).status_code == 200
        await begin(client, "witness")
        step = ("/v1/sessions/{session}/step", "post")
        after, without = [await call(client, *step, session) for session in ("session", "witness")]
        assert after.json()["step"] == 2
        assert after.json()["output"] == without.json()["output"]
        for path, method in sorted(OPERATIONS, key=_ends_much):
            answer = await call(client, path, method)
            slug = "" if answer.is_success else answer.json()["type"].rpartition(":")[2]
            kind = path.removeprefix("/v1/").partition("/")[0]
            refused = {"jobs": "job_unknown", "deletions": "deletion_unknown", "keys": "key_unknown"}
            refused |= {"tickets": "invalid_input", "sweeps": "sweep_unknown"}
            refused["backtests"] = "backtest_unknown" if "{" in path else "dataset_unknown"
            expected = WHAT_NEEDS_MORE.get(path, slug and refused.get(kind, ""))
            assert slug == expected, (path, answer.text)


async def test_a_service_may_be_there_before_its_redis(settings: Settings, redis_process: RedisProcess) -> None:
    redis_process.kill()
    async with running(create_app(with_own_keys(settings, redis_url=redis_process.url))) as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        redis_process.start()
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.post("/v1/models", json={"name": "model", "network": NETWORK})).status_code == 201
