"""Sessions of models that jobs on datasets publish learn from targets in raw units, after the level has shifted."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.jobs.recipe.planning.plan import make_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.run import ForecastRun
from cellar.main import create_app
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.trainer import fit
from cellar.settings import Settings
from cellar.wire.arrays import weights as wire_weights
from tests.api.conftest import running, with_own_keys
from tests.jobs.recipe.tables import table

pytestmark = pytest.mark.anyio

HORIZON, SHIFT = 6, 12
DATA = ForecastData.model_validate({"dataset": "hall", "targets": ["temp"], "horizon": HORIZON})


def readings(steps: int, seed: int) -> Any:
    """Return hourly temperatures: the wave of a day, and noise."""
    wave = 5 * np.sin(2 * np.pi * np.arange(steps) / 24)
    return np.round(15 + wave + np.random.default_rng(seed).normal(0, 1, steps), 2)


@pytest.fixture(scope="module")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a service with the model `hall`, as a job would publish it."""
    app, kernels = create_app(with_own_keys(settings)), KernelCache(settings.cache_dir)
    rows = table({"temp": readings(600, 1)}, [600])
    run = ForecastRun(make_plan(rows, DATA, {"epochs": 30}), rows, lambda spec: CompiledNetwork(Network(spec), kernels))
    *_, last = fit(run.trained, run.weights(None, 1), run.data, run.plan.trained_spec)
    spec, weights = run.published(last.weights())
    async with running(app) as client:
        data = wire_weights.dump(weights)
        app.state.services.registry.publish("default", "hall", Network(spec), data, token=uuid.uuid4().hex)
        yield client


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> Any:
    """Return the answer to a request on sessions, which must have this status."""
    answer = await client.post(f"/v1/sessions{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json() | {"replayed": answer.headers.get("idempotent-replayed")}


@pytest.mark.parametrize("learning", [{"type": "rls", "forgetting": 0.98}, {"type": "bptt", "learning_rate": 0.02}])
async def test_errors_fall_after_a_level_shift(client: httpx.AsyncClient, learning: dict[str, Any]) -> None:
    """Every request of targets is sent twice and counts once; drift is measured in units; the result is published."""
    name = f"s-{learning['type']}"
    made = await post(client, "", 201, session=name, model="hall@1", learning=learning)
    assert made["learning"]["window"] >= HORIZON + 16
    await post(client, "", 201, session=f"{name}-plain", model="hall@1")
    values = readings(300, 2)
    values[60:] += SHIFT
    ours, base, first = [], [], 0
    for begin in range(0, len(values), 10):
        body: Any = {"inputs": [[each] for each in values[begin : begin + 10]]}
        ours += (await post(client, f"/{name}/sequence", **body))["outputs"]
        base += (await post(client, f"/{name}-plain/sequence", **body))["outputs"]
        last = begin + 10 - HORIZON
        targets = [values[step + 1 : step + 1 + HORIZON].tolist() for step in range(first, last)]
        given = await post(client, f"/{name}/targets", step=first, targets=targets)
        assert await post(client, f"/{name}/targets", step=first, targets=targets) == given | {"replayed": "true"}
        first = last
    wanted = np.stack([values[step + 1 : step + 1 + HORIZON] for step in range(first)])
    squares = [(np.array(each)[:first] - wanted) ** 2 for each in (ours, base)]
    late, unlearnt = (float(np.mean(np.sqrt(each[-60:]))) for each in squares)
    assert late < 0.7 * unlearnt
    learnt = (await client.get(f"/v1/sessions/{name}/learning")).json()
    assert learnt["updates"] == first
    if learning["type"] == "bptt":
        assert learnt["loss"] == pytest.approx(np.mean(squares[0]), rel=1e-4)
    assert learnt["loss"] < learnt["base_loss"]
    other = await post(client, f"/{name}/targets", 409, step=first - 1, targets=[[0.0] * HORIZON])
    assert other["type"].endswith("step_taken")
    await _goes_back_or_is_published(client, name, values)


async def _goes_back_or_is_published(client: httpx.AsyncClient, name: str, values: Any) -> None:
    """A version that is published answers as the session, and the session answers as its version after a reset."""
    row = {"temp": float(values[-1])}
    await post(client, f"/{name}/fork", names=[f"{name}-fork"])
    published = (await post(client, f"/{name}/learning/publish", 201))["model"]
    assert published.startswith("hall@")
    await post(client, f"/{name}/fork", names=[f"{name}-moved", f"{name}-back"])
    await post(client, f"/{name}-moved/migrate", model=published)
    await post(client, f"/{name}-back/learning/reset")
    found = {
        each: await post(client, f"/{name}{each}/step", input=row)
        for each in ("", "-fork", "-moved", "-back", "-plain")
    }
    assert found["-fork"]["output"] == found[""]["output"]
    assert found["-moved"]["output"] == pytest.approx(found[""]["output"], rel=1e-3)
    assert found["-back"]["output"] != found[""]["output"]
    ahead = (await post(client, f"/{name}/forecast", quantiles=[0.1, 0.9]))["targets"]["temp"]
    assert ahead["point"] == found[""]["output"]
    assert all(low < high for low, high in zip(*ahead["quantiles"].values(), strict=True))


async def test_a_session_begins_with_a_dataset_and_has_no_targets_before(client: httpx.AsyncClient) -> None:
    rows = "temp\n" + "\n".join(map(str, readings(50, 3)))
    headers, params = {"Content-Type": "text/csv"}, {"name": "hall-rows"}
    assert (await client.post("/v1/datasets", params=params, content=rows.encode(), headers=headers)).status_code == 201
    warm = {"dataset": "hall-rows"}
    await post(client, "", 201, session="warm", model="hall@1", learning={"type": "bptt"}, warm_up=warm)
    refused = await post(client, "/warm/targets", 409, step=0, targets=[[1.0] * HORIZON])
    assert refused["type"].endswith("regressed")
    assert len((await post(client, "/warm/step", input=[None]))["output"]) == HORIZON
    await post(client, "/warm/targets", step=0, targets=[[20.0] * HORIZON])
    short = {"type": "bptt", "window": 3}
    refused = await post(client, "", 422, session="short", model="hall@1", learning=short)
    assert (refused["pointer"], refused["expected"]) == ("/learning/window", "at least 6, the horizon of the model")
