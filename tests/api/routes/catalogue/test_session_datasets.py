"""What sessions have logged becomes a dataset, by the names that the model's readings have."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys

FITTED = {"shift": 10, "scale": 1, "lowest": 9, "highest": 11, "readings": 60, "missing": 0}
READINGS = {
    "type": "readings",
    "columns": [
        {"kind": "time", "name": "at", "interval_s": 3600, "elapsed": True},
        {"kind": "number", "name": "temp", "role": "target", "fitted": FITTED},
        {"kind": "category", "name": "session", "categories": ["shut", "wide, open", "NA"]},
        {"kind": "number", "name": "open", "role": "future", "scaling": "none", "fitted": FITTED},
    ],
}
DENSE = {"type": "dense", "out_size": 1}
NETWORKS: dict[str, Any] = {
    "table": {"in_size": 5, "layers": [READINGS, DENSE]},
    "plain": {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, DENSE]},
}
DAY = 20_454
"""2026-01-01, in days since 1970."""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def service(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a service with two models, and sessions of both."""
    directory: Path = tmp_path_factory.mktemp("data")
    own = with_own_keys(settings).model_copy(update={"dataset_dir": directory / "datasets", "data_dir": directory})
    async with running(create_app(own)) as client:
        for name, network in NETWORKS.items():
            await post(client, "models", {"name": name, "network": network, "seed": 1})
        for name, model, log in (
            ("rooms/hall", "table", 9),
            ("rooms/attic", "table", 9),
            ("rooms/silent", "table", 0),
            ("plain-1", "plain", 9),
            ("idle", "plain", 9),
        ):
            await post(client, "sessions", {"session": name, "model": model, "log": log})
        await post(client, "sessions", {"session": "pair", "model": "plain", "log": 9, "batch_size": 2})
        yield client


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request that succeeds."""
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(client: httpx.AsyncClient, dataset: str) -> list[list[Any]]:
    """Return the rows of a dataset."""
    found: list[list[Any]] = (await client.get(f"/v1/datasets/{dataset}/rows")).json()["rows"]
    return found


async def test_readings_of_sessions_are_columns_by_their_names(service: httpx.AsyncClient) -> None:
    for name, first in (("hall", 0), ("attic", 5)):
        for hour in range(2):
            body: dict[str, Any] = {"input": [DAY, 3600 * (first + hour), 20.1 + hour, hour, 1]}
            await post(service, f"sessions/rooms%2F{name}/step", body)
    sequence = [[DAY, 7200, None, -1, 0], [DAY, 10_800, 19, 1, 1]]
    answer = await service.post("/v1/sessions/rooms%2Fhall/sequence", json={"inputs": sequence})
    assert answer.is_success, answer.text
    await post(service, "sessions/rooms%2Fhall/rewind", {"steps": 1})
    await post(service, "sessions/rooms%2Fhall/step", {"input": [DAY, 10_800, 7.5, 1, 1]})
    body = {"dataset": "rooms", "sessions": {"prefix": "rooms/", "model": "table"}}
    made = await service.post("/v1/datasets", json=body)
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/datasets/rooms"
    found = made.json()
    assert (found["source"], found["rows"], found["series"], found["interval_s"]) == ("sessions", 6, 2, 3600)
    columns = [(each["name"], each["type"], each["role"]) for each in found["columns"]]
    assert columns == [
        ("session_", "category", "series"),
        ("at", "time", "time"),
        ("temp", "number", "target"),
        ("session", "category", "input"),
        ("open", "number", "future"),
    ]
    assert await rows(service, "rooms") == [
        ["rooms/attic", "2026-01-01T05:00:00Z", pytest.approx(20.1), "shut", 1],
        ["rooms/attic", "2026-01-01T06:00:00Z", pytest.approx(21.1), "wide, open", 1],
        ["rooms/hall", "2026-01-01T00:00:00Z", pytest.approx(20.1), "shut", 1],
        ["rooms/hall", "2026-01-01T01:00:00Z", pytest.approx(21.1), "wide, open", 1],
        ["rooms/hall", "2026-01-01T02:00:00Z", None, None, 0],
        ["rooms/hall", "2026-01-01T03:00:00Z", 7.5, "wide, open", 1],
    ]
    again = await service.post("/v1/datasets", json=body)
    assert (again.status_code, again.json()) == (200, found)
    refused = await service.post("/v1/datasets", json=body | {"dataset": "other", "duplicates": "error"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:cellar:problem:dataset_invalid")


async def test_inputs_without_names_are_numbered_and_rows_of_a_session_are_series(service: httpx.AsyncClient) -> None:
    numbers = [0.1, 1e-30, 3.25]
    for x in numbers:
        await post(service, "sessions/plain-1/step", {"input": [x, -x]})
    await post(service, "sessions/pair/step", {"input": [[1, 2], [3, 4]]})
    await post(service, "sessions/pair/step", {"input": [[5, 6]], "rows": [0]})
    made = await post(service, "datasets", {"dataset": "plain", "sessions": {"model": "plain"}, "targets": ["x1"]})
    assert [(each["name"], each["role"]) for each in made["columns"]] == [
        ("session", "series"),
        ("x0", None),
        ("x1", "target"),
    ]
    found = await rows(service, "plain")
    assert found[:3] == [["pair/0", 1, 2], ["pair/0", 5, 6], ["pair/1", 3, 4]]
    assert found[3:] == [["plain-1", pytest.approx(x), pytest.approx(-x)] for x in numbers]


async def test_names_of_sessions_and_categories_are_no_missing_readings(service: httpx.AsyncClient) -> None:
    names, time = ["NA", "nan", "null"], "2026-01-01T00:00:00Z"
    for at, name in enumerate(names):
        await post(service, "sessions", {"session": name, "model": "table", "log": 9})
        await post(service, f"sessions/{name}/step", {"input": [time, at, "NA", None]})
        await post(service, "datasets", {"dataset": f"of-{name}", "sessions": {"prefix": name}})
        assert await rows(service, f"of-{name}") == [[name, time, at, "NA", None]]


@pytest.mark.parametrize(
    ("sessions", "status", "said", "pointer"),
    [
        ({"prefix": "rooms/silent"}, 409, "none of the 1 sessions has a log", None),
        ({"prefix": "idle"}, 409, "hold no steps yet", None),
        ({"prefix": "unknown"}, 422, "no such sessions", "/sessions"),
        ({"model": "nothing"}, 422, "no such sessions", "/sessions"),
        ({}, 422, "other columns", "/sessions/model"),
        ({"prefix": 7}, 422, "", "/sessions/prefix"),
        ({"models": "plain"}, 422, "", "/sessions/models"),
        ({"model": "a b"}, 422, "", "/sessions/model"),
    ],
)
async def test_what_cannot_become_a_dataset_is_refused(
    service: httpx.AsyncClient, sessions: dict[str, Any], status: int, said: str, pointer: str | None
) -> None:
    await post(service, "sessions/plain-1/step", {"input": [0, 0]})
    await post(service, "sessions/rooms%2Fattic/step", {"input": [DAY, 0, 1, 0, 1]})
    refused = await service.post("/v1/datasets", json={"dataset": "refused", "sessions": sessions})
    assert refused.status_code == status, refused.text
    assert said in refused.json()["detail"]
    assert refused.json().get("pointer") == pointer
    assert (await service.get("/v1/datasets/refused")).status_code == 404
    wrong = {"dataset": "refused", "sessions": {"prefix": "plain-1"}, "targets": ["x7"]}
    assert (await service.post("/v1/datasets", json=wrong)).json()["pointer"] == "/targets"
