"""Sessions that begin in the state after rows of a dataset."""

from typing import Any

import httpx
import numpy as np
import pytest

pytestmark = pytest.mark.anyio

ROWS = 700
"""More than are run in one call."""

FITTED = {"shift": 10, "scale": 2, "lowest": 9, "highest": 11, "readings": 60, "missing": 0}
READINGS = {
    "type": "readings",
    "columns": [
        {"kind": "time", "name": "at", "interval_s": 60, "elapsed": True},
        {"kind": "number", "name": "temp", "role": "target", "fitted": FITTED},
    ],
}
LAYERS: list[dict[str, Any]] = [
    {"type": "recurrent", "cell": "lstm", "hidden_size": 4},
    {"type": "dense", "out_size": 2},
]
FORECAST = {"type": "forecast", "targets": [{"name": "temp", "shift": 10}], "horizon": 2}
NETWORKS: dict[str, Any] = {
    "raw": {"in_size": 3, "layers": [READINGS, *LAYERS, FORECAST]},
    "plain": {"in_size": 1, "layers": LAYERS},
}
VALUES = np.round(10 + np.random.default_rng(1).normal(0, 1, ROWS), 2).tolist()


def readings(series: str) -> list[dict[str, Any]]:
    """Return the rows of a series as steps of a session; every tenth is missing."""
    times = (f"2026-01-01T{row // 60:02}:{row % 60:02}:00Z" for row in range(ROWS))
    values = VALUES if series == "a" else VALUES[::-1]
    return [
        {"at": at, "temp": None if row % 10 == 3 else value}
        for row, (at, value) in enumerate(zip(times, values, strict=True))
    ]


@pytest.fixture(scope="module", autouse=True)
async def models(client: httpx.AsyncClient) -> None:
    """Add the models and a dataset of two series."""
    for name, network in NETWORKS.items():
        answer = await client.post("/v1/models", json={"name": name, "network": network, "seed": 1})
        assert answer.status_code == 201, answer.text
    rows = [{"room": series, **row} for series in "ab" for row in readings(series)]
    lines = "".join(f"{row['room']},{row['at']},{'' if row['temp'] is None else row['temp']}\n" for row in rows)
    for name, series in (("rooms", "room"), ("one", None)):
        data = "room,at,temp\n" + (lines if series else lines[: len(lines) // 2])
        params = {"name": name, "series": series} if series else {"name": name}
        answer = await client.post(
            "/v1/datasets", params=params, content=data.encode(), headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 201, answer.text


async def create(client: httpx.AsyncClient, status: int = 201, **members: Any) -> Any:
    """Create a session and return the answer."""
    answer = await client.post("/v1/sessions", json=members)
    assert answer.status_code == status, answer.text
    return answer.json()


async def state(client: httpx.AsyncClient, session: str) -> Any:
    """Return the state of a session."""
    return (await client.get(f"/v1/sessions/{session}/state")).json()["layers"]


@pytest.mark.parametrize(("rows", "first"), [(None, 0), (100, ROWS - 100), (10 * ROWS, 0)])
async def test_the_state_is_that_after_the_rows_as_steps(
    client: httpx.AsyncClient, rows: int | None, first: int
) -> None:
    warm, cold = f"warm-{rows}", f"cold-{rows}"
    made = await create(
        client, session=warm, model="raw", warm_up={"dataset": "rooms", "series": "b", "rows": rows}, log=5
    )
    assert made["step"] == 0
    await create(client, session=cold, model="raw")
    answer = await client.post(f"/v1/sessions/{cold}/sequence", json={"inputs": readings("b")[first:]})
    assert answer.status_code == 200, answer.text
    assert await state(client, warm) == await state(client, cold)
    forecasts = [(await client.post(f"/v1/sessions/{each}/forecast")).json() for each in (warm, cold)]
    assert forecasts[0]["targets"] == forecasts[1]["targets"]
    assert forecasts[0]["times"] == ["2026-01-01T11:40:00Z", "2026-01-01T11:41:00Z"]
    logged = (await client.get(f"/v1/sessions/{warm}/log")).json()["entries"]
    assert [each["kind"] for each in logged] == ["write"]


async def test_rows_of_a_session_begin_in_the_same_state_and_a_plain_network_names_its_inputs(
    client: httpx.AsyncClient,
) -> None:
    rows = {"dataset": "rooms", "series": "a", "inputs": ["temp"], "rows": 20}
    made = await create(client, session="many", model="plain", batch_size=2, warm_up=rows)
    again = await create(client, 200, session="many", model="plain", batch_size=2, warm_up=rows)
    assert again["position"] == made["position"]
    (layer,) = [each for each in await state(client, "many") if each["layer"] == 0]
    assert layer["h"][0] == layer["h"][1] != [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("members", "status", "pointer"),
    [
        ({"warm_up": {"dataset": "nothing"}}, 404, None),
        ({"warm_up": {"dataset": "rooms"}}, 422, "/warm_up/series"),
        ({"warm_up": {"dataset": "rooms", "series": "c"}}, 422, "/warm_up/series"),
        ({"warm_up": {"dataset": "rooms", "series": "a", "rows": 0}}, 422, "/warm_up/rows"),
        ({"model": "plain", "warm_up": {"dataset": "rooms", "series": "a"}}, 422, "/warm_up/inputs"),
        (
            {"model": "plain", "warm_up": {"dataset": "rooms", "series": "a", "inputs": ["humid"]}},
            422,
            "/warm_up/inputs/0",
        ),
    ],
)
async def test_what_does_not_fit_is_refused_and_creates_nothing(
    client: httpx.AsyncClient, members: dict[str, Any], status: int, pointer: str | None
) -> None:
    problem = await create(client, status, **{"session": "refused", "model": "raw", **members})
    assert pointer is None or problem["pointer"] == pointer
    assert (await client.get("/v1/sessions/refused")).status_code == 404
