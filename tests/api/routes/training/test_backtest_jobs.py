"""Backtests that workers run: the numbers of the direct ones, through a kill, and what becomes of their records."""

import asyncio
import os
import signal
import sys
from typing import Any

import httpx
import pytest

from cellar.assembly.stores import Stores
from cellar.main import create_app, run_job
from cellar.ports import Lease
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.api.routes.training.test_backtests import NETWORKS, add_hours
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio

BODY = {"dataset": "hours", "horizon": 6, "stride": 1, "paths": 20, "quantiles": [0.1, 0.5, 0.9]}
RUN = "import sys; from cellar.main import run_job; run_job('default', sys.argv[1])"


@pytest.fixture(scope="module")
async def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield a client of a service with the networks and the dataset, its settings, and the environment of a worker."""
    own = with_own_keys(settings)
    await asyncio.to_thread(add_hours, own, tmp_path_factory.mktemp("data"))
    names = ("redis_url", "key_prefix", "cache_dir")
    environment = {f"CELLAR_{name.upper()}": str(getattr(own, name)) for name in names} | {"CELLAR_JOB_NICE": "0"}
    async with running(create_app(own)) as client:
        for name, network in NETWORKS.items():
            await client.post("/v1/models", json={"name": name, "network": network, "seed": 1})
        yield client, own, environment


async def test_a_worker_that_is_killed_leaves_the_numbers_of_the_direct_backtest(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, own, environment = served
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    store = Stores(own).jobs
    sent = await client.post("/v1/backtests", json=BODY | {"model": "table"}, headers={"Idempotency-Key": "one"})
    assert sent.status_code == 202, sent.text
    queued, path = sent.json(), sent.headers["location"]
    assert (queued["state"], queued["model"], queued["result"]) == ("queued", "table@1", None)
    assert queued["options"] == {name: value for name, value in BODY.items() if name != "dataset"}
    job = "~" + queued["backtest"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, job, env=environment)
    await asyncio.to_thread(wait_until, lambda: store.get("default", job).state == "running", 60, "it runs")
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    assert (await client.delete("/v1/datasets/hours")).status_code == 409
    store.abandon(Lease("default", job, 1), "SIGKILL")  # as the worker does, whose child has died
    await asyncio.to_thread(run_job, "default", job)
    done = (await client.get(path)).json()
    assert (done["state"], done["attempt"], done["error"]) == ("succeeded", 2, None)
    assert done["progress"]["origins"] == done["progress"]["origins_total"] == done["result"]["origins"]
    direct = await client.post("/v1/models/table/backtest", json=BODY)
    assert done["result"] == direct.json()
    again = await client.post("/v1/backtests", json=BODY | {"model": "table"}, headers={"Idempotency-Key": "one"})
    assert (again.json()["backtest"], again.headers["idempotent-replayed"]) == (queued["backtest"], "true")
    assert (await client.get(f"/v1/jobs/{job}")).status_code in (404, 422)
    assert (await client.get("/v1/jobs")).json()["jobs"] == []
    assert (await client.delete(path)).status_code == 204
    gone = await client.get(path)
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:cellar:problem:backtest_unknown")
    assert [*store._client.scan_iter(f"{own.key_prefix}:{{jobs}}:default/{job}*")] == []


async def test_queued_ones_are_listed_and_cancelled(served: Any) -> None:
    client, _, _ = served
    names = []
    for stride in (7, 8):
        sent = await client.post("/v1/backtests", json=BODY | {"model": "table@1", "stride": stride})
        names.append(sent.json()["backtest"])
    pages: list[str] = []
    cursor: str | None = None
    while cursor != "":
        page = (await client.get("/v1/backtests", params={"limit": 1} | ({"cursor": cursor} if cursor else {}))).json()
        pages += [each["backtest"] for each in page["backtests"]]
        cursor = page["cursor"]
    assert pages == names[::-1]
    assert (await client.delete(f"/v1/backtests/{names[0]}")).status_code == 409
    cancelled = await client.post(f"/v1/backtests/{names[0]}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    listed = await client.get("/v1/backtests", params={"state": "cancelled"})
    assert [each["backtest"] for each in listed.json()["backtests"]] == [names[0]]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"model": "plain", "dataset": "hours"}, 422, "/targets"),
        ({"model": "table", "dataset": "hours", "horizon": 0}, 422, "/horizon"),
        ({"model": "table", "dataset": "nothing"}, 404, None),
        ({"model": "nothing", "dataset": "hours"}, 404, None),
        ({"dataset": "hours"}, 422, "/model"),
    ],
)
async def test_faults_are_named_before_it_is_queued(
    served: Any, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    client: httpx.AsyncClient = served[0]
    answer = await client.post("/v1/backtests", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().get("pointer") == pointer
