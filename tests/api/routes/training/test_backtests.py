"""Backtests over HTTP, and forecasts of a model that reads a table with times."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.api.routes.training import backtests
from cellar.assembly.stores import Stores
from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.datasets.files import build

pytestmark = pytest.mark.anyio

DAY = 86_400
STEPS = 120
VALUES = np.round(10 + np.sin(np.arange(STEPS) * np.pi / 6) + np.random.default_rng(1).normal(0, 0.05, STEPS), 3)

FITTED = {"shift": 10, "scale": 1, "lowest": 9, "highest": 11, "readings": 60, "missing": 0}
READINGS = {
    "type": "readings",
    "columns": [
        {"kind": "time", "name": "at", "interval_s": 3600, "elapsed": True},
        {"kind": "number", "name": "temp", "role": "target", "fitted": FITTED},
        {"kind": "number", "name": "open", "role": "future", "scaling": "none", "fitted": FITTED | {"shift": 0}},
    ],
}
DENSE = {"type": "dense", "out_size": 1}
SPREAD = {"levels": [0.1, 0.9], "values": [-0.5, 0.5]}
TEMP = {"name": "temp", "shift": 10}
NETWORKS: dict[str, Any] = {
    "table": {"in_size": 4, "layers": [READINGS, DENSE, {"type": "forecast", "targets": [TEMP], "residuals": SPREAD}]},
    "plain": {"in_size": 1, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 2}, DENSE]},
}


def table() -> str:
    """Return a CSV of one series, an hour for each row, with a missing reading."""
    lines = ["at,temp,open"]
    for row, value in enumerate(VALUES):
        shown = "" if row == 100 else value
        lines.append(f"2026-01-{1 + row // 24:02}T{row % 24:02}:00:00Z,{shown},{int(row % 24 > 7)}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
async def service(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield a client of a service with the networks and the dataset."""
    own = with_own_keys(settings)
    await asyncio.to_thread(add_hours, own, tmp_path_factory.mktemp("data"))
    async with running(create_app(own)) as client:
        for name, network in NETWORKS.items():
            answer = await client.post("/v1/models", json={"name": name, "network": network, "seed": 1})
            assert answer.status_code == 201, answer.text
        yield client


def add_hours(settings: Settings, directory: Path) -> None:
    """Add the dataset."""
    built = build(directory, table(), time="at")
    with built.file:
        Stores(settings).datasets.add("default", "hours", built, "text/csv")


async def test_a_model_is_tested_on_a_dataset(service: httpx.AsyncClient) -> None:
    body = {"dataset": "hours", "horizon": 6, "stride": 12, "paths": 20, "quantiles": [0.1, 0.5, 0.9]}
    answer = await service.post("/v1/models/table/backtest", json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["model"], found["horizon"], found["stride"], found["origins"]) == ("table@1", 6, 12, 2)
    temp = found["targets"]["temp"]
    assert found["values"] == 11
    assert {*temp["metrics"]} == {"mae", "rmse", "mape", "smape", "mase", "crps", "coverage_80"}
    assert temp["series"] == {"0": temp["metrics"]}
    assert {*temp["baselines"]} == {"last_value", "seasonal", "mean"}
    last = temp["baselines"]["last_value"]["mae"]
    assert temp["better_than"]["last_value"] == pytest.approx(1 - temp["metrics"]["mae"] / last)
    assert len(temp["steps"]["rmse"]) == 6
    plot = found["plots"][0]
    assert plot["times"][0] == "2026-01-05T00:00:00+00:00"
    assert plot["actual"][4] is None
    assert plot["actual"][:4] == pytest.approx(VALUES[96:100].tolist())
    assert answer.json() == (await service.post("/v1/models/table/backtest", json=body)).json()


async def test_columns_are_named_for_a_model_without_names(service: httpx.AsyncClient) -> None:
    body = {"dataset": "hours", "horizon": 2, "inputs": ["temp"], "targets": ["temp"]}
    found = (await service.post("/v1/models/plain/backtest", json=body)).json()
    assert found["origins"] == 12
    assert found["targets"]["0"]["metrics"]["mae"] > 1


async def test_a_rolled_forecast_has_times_and_known_columns_by_name(service: httpx.AsyncClient) -> None:
    await service.post("/v1/sessions", json={"session": "hall", "model": "table"})
    day = 20_454  # 2026-01-01
    for hour in (22, 23):
        stepped = await service.post("/v1/sessions/hall/step", json={"input": [day, 3600 * hour, 10.5, 1]})
        assert stepped.is_success, stepped.text
    body = {"horizon": 3, "paths": 10, "future": [{"open": 0}, {"open": 1}]}
    found = (await service.post("/v1/sessions/hall/forecast", json=body)).json()
    assert found["times"] == [f"2026-01-02T{hour:02}:00:00Z" for hour in range(3)]
    assert len(found["targets"]["temp"]["point"]) == 3
    unknown = await service.post("/v1/sessions/hall/forecast", json=body | {"future": [{"shut": 0}, {}]})
    assert (unknown.status_code, unknown.json()["pointer"]) == (422, "/future/0/shut")


@pytest.mark.parametrize(
    ("model", "body", "status", "pointer"),
    [
        ("plain", {"dataset": "hours"}, 422, "/targets"),
        ("plain", {"dataset": "hours", "targets": ["wind"]}, 422, "/targets/0"),
        ("plain", {"dataset": "hours", "targets": ["temp"]}, 422, "/inputs"),
        ("plain", {"dataset": "hours", "targets": ["temp"], "inputs": ["wind"]}, 422, "/inputs/0"),
        ("table", {"dataset": "hours", "targets": ["wind"]}, 422, "/targets"),
        ("table", {"dataset": "hours", "horizon": 0}, 422, "/horizon"),
        ("table", {"dataset": "hours", "start": 1}, 422, "/start"),
        ("table", {"dataset": "hours", "stride": 1, "horizon": 1000, "paths": 10_000}, 422, "/stride"),
        ("table", {"dataset": "nothing"}, 404, None),
        ("nothing", {"dataset": "hours"}, 404, None),
        ("table", {}, 422, "/dataset"),
    ],
)
async def test_faults_are_named(
    service: httpx.AsyncClient, model: str, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = await service.post(f"/v1/models/{model}/backtest", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().get("pointer") == pointer


async def test_a_dataset_that_is_too_large_is_not_read(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_own_keys(settings, max_forecast_steps=STEPS - 1)
    await asyncio.to_thread(add_hours, own, tmp_path)
    monkeypatch.setattr(backtests, "begin", lambda *_: pytest.fail("it was read"))
    async with running(create_app(own)) as client:
        await client.post("/v1/models", json={"name": "plain", "network": NETWORKS["plain"]})
        answer = await client.post("/v1/models/plain/backtest", json={"dataset": "hours"})
    assert (answer.status_code, answer.json()["actual"]) == (422, str(STEPS))
