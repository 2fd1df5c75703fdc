"""Inputs that are known in advance: read at the steps that are forecast, in training, sessions, logs and backtests."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
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
from cellar.nn.readings.table import rows_of
from cellar.nn.training.trainer import fit
from cellar.settings import Settings
from cellar.table import Column, Table
from cellar.wire.arrays import weights as wire_weights
from tests.api.conftest import running, with_own_keys

pytestmark = pytest.mark.anyio

STEPS, HORIZON, EFFECT = 600, 4, 6.0
RANDOM = np.random.default_rng(3)
PROMO = (RANDOM.random(STEPS + HORIZON) < 0.3).astype(np.float64)
SALES = np.round(10 + EFFECT * PROMO[:STEPS] + RANDOM.normal(0, 0.2, STEPS), 3)
DATA = ForecastData.model_validate({"dataset": "shop", "targets": ["sales"], "horizon": HORIZON})


def shop(promo: np.ndarray[Any, Any], lengths: list[int]) -> Table:
    """Return a table of sales and promotions, which are known in advance."""
    columns = Column("sales", "number", "target"), Column("promo", "number", "future")
    values = {"sales": SALES.astype(np.float32), "promo": promo.astype(np.float32)}
    ids = [""] if len(lengths) == 1 else [f"s{number}" for number in range(len(lengths))]
    return Table(columns, ids, np.cumsum([0, *lengths]), None, values)


def csv(steps: int) -> str:
    """Return the steps, then rows of which only the promotion is known."""
    rows = [f"{index},{SALES[index] if index < steps else ''},{int(PROMO[index])}" for index in range(steps + HORIZON)]
    return "\n".join(["step,sales,promo", *rows]) + "\n"


@pytest.fixture(scope="module")
async def client(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a service with the model `shop`, as a job would publish it, and its dataset."""
    directory: Path = tmp_path_factory.mktemp("data")
    own = with_own_keys(settings).model_copy(update={"dataset_dir": directory / "datasets", "data_dir": directory})
    app, kernels = create_app(own), KernelCache(settings.cache_dir)
    rows = shop(PROMO[:STEPS], [STEPS])
    run = ForecastRun(make_plan(rows, DATA, {"epochs": 60}), rows, lambda spec: CompiledNetwork(Network(spec), kernels))
    *_, last = fit(run.trained, run.weights(None, 1), run.data, run.plan.trained_spec)
    spec, weights = run.published(last.weights())
    async with running(app) as client:
        data = wire_weights.dump(weights)
        app.state.services.registry.publish("default", "shop", Network(spec), data, token=uuid.uuid4().hex)
        answer = await client.post(
            "/v1/datasets",
            params={"name": "shop", "targets": "sales", "future": "promo", "ignore": "step"},
            content=csv(500),
            headers={"Content-Type": "text/csv"},
        )
        assert answer.status_code == 201, answer.text
        yield client


async def post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    """Return the answer to a request that succeeds."""
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def test_rows_have_the_values_of_later_rows_of_their_series() -> None:
    plan = make_plan(shop(PROMO[:STEPS], [STEPS]), DATA, {})
    layout = Network(plan.network).readings
    assert layout is not None
    assert [choice.value for choice in plan.choices if choice.field == "ahead"] == [["promo"]]
    found = rows_of(layout.layout, shop(PROMO[:STEPS], [200, STEPS - 200]), slice(190, 210))[:, 1]
    expected = [*PROMO[194:200], *[np.nan] * 4, *PROMO[204:214]]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


async def test_a_session_forecasts_with_what_is_known(client: httpx.AsyncClient) -> None:
    """A warm-up ends at the last reading of the target; the same steps with the promotion ahead have the same bits."""
    await post(client, "sessions", {"session": "warm", "model": "shop", "warm_up": {"dataset": "shop"}})
    await post(client, "sessions", {"session": "live", "model": "shop", "log": 500})
    steps = [{"sales": SALES[at], "promo": PROMO[at + HORIZON]} for at in range(500)]
    await post(client, "sessions/live/sequence", {"inputs": [[step] for step in steps]})
    warm, live = [(await post(client, f"sessions/{name}/forecast", {}))["targets"] for name in ("warm", "live")]
    assert warm == live
    errors = np.abs(np.array(warm["sales"]["point"]) - 10 - EFFECT * PROMO[500 : 500 + HORIZON])
    assert errors.max() < EFFECT / 4, "without the promotions ahead it would be off by the half of some"


async def test_what_was_logged_is_at_its_time_again(client: httpx.AsyncClient) -> None:
    await post(client, "sessions", {"session": "logs", "model": "shop", "log": 50})
    steps = [[{"sales": SALES[at], "promo": PROMO[at + HORIZON]}] for at in range(20)]
    for part in (steps[:2], steps[2:9], steps[9:]):
        await post(client, "sessions/logs/sequence", {"inputs": part})
    await post(client, "datasets", {"dataset": "logged", "sessions": {"prefix": "logs"}})
    rows = (await client.get("/v1/datasets/logged/rows")).json()["rows"]
    known = [None] * HORIZON + PROMO[HORIZON:20].tolist()
    assert rows == [["logs", pytest.approx(SALES[at]), known[at]] for at in range(20)]


async def test_a_backtest_reads_them(client: httpx.AsyncClient) -> None:
    body = {"dataset": "shop", "horizon": HORIZON, "stride": HORIZON, "start": 0.8}
    found = await post(client, "models/shop/backtest", body)
    assert found["targets"]["sales"]["better_than"]["last_value"] > 0.5


@pytest.mark.parametrize("kind", ["rls", "bptt"])
async def test_a_session_learns_with_them(client: httpx.AsyncClient, kind: str) -> None:
    await post(client, "sessions", {"session": f"l-{kind}", "model": "shop", "learning": {"type": kind}})
    steps = [[{"sales": SALES[at], "promo": PROMO[at + HORIZON]}] for at in range(20)]
    await post(client, f"sessions/l-{kind}/sequence", {"inputs": steps})
    targets = [SALES[at + 1 : at + 1 + HORIZON].tolist() for at in range(10, 15)]
    await post(client, f"sessions/l-{kind}/targets", {"step": 10, "targets": targets})
    found = (await client.get(f"/v1/sessions/l-{kind}/learning")).json()
    assert found["updates"] > 0
