"""A request that is answered a second time says so, on every route where the same request may come again."""

from typing import Any

import pytest

from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

NETWORK = {
    "in_size": 1,
    "layers": [{"type": "dense", "out_size": 1}, {"type": "recurrent", "cell": "rnn", "hidden_size": 1}],
}
LEARNER = {"in_size": 1, "layers": [{"type": "dense", "out_size": 1}]}
LEARNING = {"type": "rls", "forgetting": 1, "ridge": 0.01, "window": 4}
DATA = {"layout": "T", "inputs": [0, 1], "targets": [1, 0]}

SAME_AGAIN: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/models", {"name": "new", "network": NETWORK}),
    ("POST", "/v1/jobs", {"model": "model", "data": DATA, "epochs": 1}),
    ("POST", "/v1/backtests", {"model": "model", "dataset": "rows", "inputs": ["a"], "targets": ["a"], "start": 0}),
    ("POST", "/v1/sweeps", {"job": {"model": "model", "data": DATA, "epochs": 1}, "parameters": {"seed": [1, 2]}}),
    ("POST", "/v1/sweeps/{sweep}/trials", {"parameters": {"seed": 1}}),
    ("POST", "/v1/sessions", {"session": "new", "model": "model"}),
    ("PATCH", "/v1/sessions/{session}", {"ttl_s": 77}),
    ("POST", "/v1/sessions/{session}/step", {"input": [1]}),
    ("POST", "/v1/sessions/{session}/sequence", {"inputs": [[1], [2]]}),
    ("POST", "/v1/sessions/{session}/reset", {}),
    ("PUT", "/v1/sessions/{session}/state", {"layers": [{"layer": 1, "h": [[0.5]]}]}),
    ("PATCH", "/v1/sessions/{session}/state", {"layers": [{"layer": 1, "h": [[0.5]]}]}),
    ("POST", "/v1/sessions/{session}/snapshots", {"snapshot": "other"}),
    ("POST", "/v1/sessions/{session}/restore", {"snapshot": "kept"}),
    ("POST", "/v1/sessions/{session}/rewind", {"steps": 1}),
    ("POST", "/v1/sessions/{session}/migrate", {"model": "model@1"}),
    ("POST", "/v1/sessions/{session}/fork", {"count": 2}),
    ("POST", "/v1/sessions/{learner}/targets", {"step": 0, "targets": [[1]]}),
    ("POST", "/v1/sessions/{learner}/learning/reset", {}),
    ("DELETE", "/v1/sessions?prefix=none", {}),
]


async def test_every_route_with_a_key_tells_a_replay(settings: Settings) -> None:
    async with running(create_app(with_own_keys(settings))) as client:
        for path, made in (
            ("/v1/models", {"name": "model", "network": NETWORK}),
            ("/v1/models", {"name": "learner", "network": LEARNER}),
            ("/v1/sessions", {"session": "s", "model": "model", "history": 4}),
            ("/v1/sessions", {"session": "l", "model": "learner", "learning": LEARNING}),
            ("/v1/sessions/l/step", {"input": [1]}),
            ("/v1/sessions/s/step", {"input": [1]}),
            ("/v1/sessions/s/snapshots", {"snapshot": "kept"}),
        ):
            assert (await client.post(path, json=made)).status_code in (200, 201), path
        csv = {"content-type": "text/csv"}
        added = await client.post("/v1/datasets?name=rows", content=b"a\n1\n2\n3\n", headers=csv)
        assert added.status_code == 201, added.text
        external = {"job": {"model": "model", "data": DATA, "epochs": 1}, "search": {"type": "external"}}
        sweep = (await client.post("/v1/sweeps", json=external)).json()["sweep"]
        for method, template, body in SAME_AGAIN:
            path = template.format(session="s", learner="l", sweep=sweep)
            await client.post("/v1/sessions/s/step", json={"input": [1]})  # a step to rewind
            key = {"Idempotency-Key": f"{method} {path}"}
            first, again = [await client.request(method, path, json=body, headers=key) for _ in range(2)]
            assert first.status_code in (200, 201, 202), f"{method} {path}: {first.text}"
            assert "Idempotent-Replayed" not in first.headers, f"{method} {path}"
            assert again.headers.get("Idempotent-Replayed") == "true", f"{method} {path}: {again.text}"


async def test_every_route_with_a_key_is_in_the_table_above(settings: Settings) -> None:
    async with running(create_app(settings)) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    with_key = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, described in methods.items()
        if any(parameter["name"] == "Idempotency-Key" for parameter in described.get("parameters", []))
    }
    tried = {(method, path.partition("?")[0].replace("{learner}", "{session}")) for method, path, _ in SAME_AGAIN}
    told_by_line = {("POST", "/v1/sessions/{session}/sequence/stream")}
    assert with_key - told_by_line <= tried
