"""Sweeps over HTTP: every search, failing trials, the best under an alias, and what is refused."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cellar.api.schemas.training.sweeps import SweepAnswer
from cellar.main import create_app, run_job
from cellar.ports import Sweep
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.api.routes.training.test_events import parsed
from tests.api.routes.training.test_jobs import DATA, NETWORK

pytestmark = pytest.mark.anyio

JOB = {"model": "model", "data": DATA, "epochs": 4, "optimiser": {"type": "adam"}}
RATES = {"optimiser.learning_rate": [0.001, 0.05], "/seed": [1, 2]}


@pytest.fixture(scope="module")
async def service(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Settings]]:
    """Yield a client of a service whose worker is `work`."""
    own = with_own_keys(settings, job_sweep_s=0.05)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("redis_url", "key_prefix", "cache_dir"):
            patch.setenv(f"CELLAR_{name.upper()}", str(getattr(own, name)))
        patch.setenv("CELLAR_JOB_NICE", "0")  # the tests run jobs in their own process
        async with running(create_app(own)) as client:
            assert (await client.post("/v1/models", json={"name": "model", "network": NETWORK})).status_code == 201
            yield client, own


async def work(client: httpx.AsyncClient, sweep: str) -> dict[str, Any]:
    """Run the jobs of a sweep until it has ended, and return it."""
    async with asyncio.timeout(120):
        while True:
            found: dict[str, Any] = (await client.get(f"/v1/sweeps/{sweep}")).json()
            if found["state"] != "running":
                return found
            for job in (await client.get("/v1/jobs?state=queued")).json()["jobs"]:
                await asyncio.to_thread(run_job, "default", job["job"])
            await asyncio.sleep(0.02)  # the sweep is carried on in between


async def add(client: httpx.AsyncClient, sweep: str, parameters: dict[str, Any], key: str) -> dict[str, Any]:
    """Add a trial as a client does: the request is sent again while Redis, whose disk may be busy, does not answer."""
    async with asyncio.timeout(60):
        while True:
            body, headers = {"parameters": parameters}, {"idempotency-key": key}
            answer = await client.post(f"{sweep}/trials", json=body, headers=headers)
            if answer.json().get("type") != "urn:cellar:problem:store_unavailable":
                assert answer.status_code == 202, answer.text
                return dict(answer.json())


async def begun(client: httpx.AsyncClient, trial: str) -> str:
    """Return the job of a trial, which begins with the next step of its sweep if it did not at once."""
    async with asyncio.timeout(60):
        while True:
            found = (await client.get(trial)).json()
            if found.get("job") is not None:
                return str(found["job"])
            await asyncio.sleep(0.02)  # the sweep is carried on in between


async def test_a_grid_publishes_the_best_under_an_alias(service: tuple[httpx.AsyncClient, Settings]) -> None:
    client, _ = service
    body = {"job": JOB, "parameters": RATES, "publish": {"alias": "best"}, "max_parallel": 3}
    made = await client.post("/v1/sweeps", json=body, headers={"idempotency-key": "once"})
    assert (made.status_code, made.json()["state"], made.json()["counts"]) == (
        202,
        "running",
        {"running": 3, "waiting": 1},
    )
    path = made.headers["location"]
    again = await client.post("/v1/sweeps", json=body, headers={"idempotency-key": "once"})
    assert (again.json()["sweep"], again.headers["idempotent-replayed"]) == (made.json()["sweep"], "true")
    other = await client.post("/v1/sweeps", json=body | {"max_parallel": 4}, headers={"idempotency-key": "once"})
    assert other.json()["type"] == "urn:cellar:problem:fingerprint_mismatch"
    assert (await client.delete(path)).json()["type"] == "urn:cellar:problem:sweep_active"

    done = await work(client, made.json()["sweep"])
    assert (done["state"], done["counts"], done["result"]) == ("succeeded", {"succeeded": 4}, "model@2")
    values = [trial["value"] for trial in done["trials"]]
    assert values == sorted(values)
    assert done["best"] == done["trials"][0]
    assert done["best"]["parameters"]["optimiser.learning_rate"] == 0.05
    assert (await client.get("/v1/models/model/aliases/best")).json()["version"] == 2
    assert [each["model"] for each in (await client.get("/v1/models/model/versions")).json()["versions"]] == [
        "model@1",
        "model@2",
    ]
    jobs = [(await client.get(f"/v1/jobs/{trial['job']}")).json() for trial in done["trials"]]
    assert [job["result"] for job in jobs] == ["model@2", None, None, None]

    events = parsed((await client.get(f"{path}/events")).text)
    assert [kind for kind, _, _ in events][:1] + [kind for kind, _, _ in events][-1:] == ["state", "end"]
    assert sum(data.get("state") == "succeeded" for kind, _, data in events if kind == "trial") == 4
    behind = await client.get(f"{path}/events", headers={"last-event-id": events[-1][1]})
    assert behind.status_code == 204
    curves = (await client.get(f"{path}/curves?limit=2")).json()["curves"]
    assert [curve["epochs"] for curve in curves] == [[1, 2, 3, 4]] * 2
    assert curves[0]["job"] == done["best"]["job"]
    assert (await client.get("/v1/sweeps")).json()["sweeps"][0]["sweep"] == done["sweep"]
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).json()["type"] == "urn:cellar:problem:sweep_unknown"


async def test_a_halving_trains_the_best_longer_and_a_lost_trial_ends_alone(
    service: tuple[httpx.AsyncClient, Settings],
) -> None:
    client, _ = service
    parameters = {"optimiser.learning_rate": {"min": 1e-4, "max": 0.1, "scale": "log"}}
    search = {"type": "halving", "trials": 4, "factor": 2, "seed": 3}
    body = {"job": JOB, "parameters": parameters, "search": search, "publish": None}
    made = await client.post("/v1/sweeps", json=body)
    lost = made.json()["trials"][0]
    await client.post(f"/v1/jobs/{lost['job']}/cancel")
    done = await work(client, made.json()["sweep"])
    assert (done["state"], done["result"]) == ("succeeded", None)
    rungs = sorted((trial["rung"], trial["epochs"], trial["state"]) for trial in done["trials"])
    first = [(0, 1, "cancelled"), *[(0, 1, "succeeded")] * 3]
    assert rungs == [*first, *[(1, 2, "succeeded")] * 2, (2, 4, "succeeded")]
    assert lost["trial"] not in {trial["trial"] for trial in done["trials"] if trial["rung"]}
    assert done["best"]["epochs"] == 4
    drawn = {trial["trial"]: trial["parameters"] for trial in done["trials"]}
    again = (await client.post("/v1/sweeps", json=body)).json()
    assert {trial["trial"]: trial["parameters"] for trial in again["trials"]} == drawn, "the seed determines them"
    cancelled = (await client.post(f"/v1/sweeps/{again['sweep']}/cancel")).json()
    assert (await work(client, cancelled["sweep"]))["state"] == "cancelled"


async def test_the_end_of_a_sweep_leaves_equal_weights_of_another(
    service: tuple[httpx.AsyncClient, Settings],
) -> None:
    client, _ = service
    body = {"job": JOB | {"model": "model@1", "publish": "always"}, "parameters": {"seed": [7]}}
    published = (await client.post("/v1/sweeps", json=body)).json()
    forgotten = (await client.post("/v1/sweeps", json=body | {"publish": None})).json()
    for sweep in (published, forgotten):
        await asyncio.to_thread(run_job, "default", sweep["trials"][0]["job"])
    async with asyncio.timeout(120):
        events = await client.get(f"/v1/sweeps/{forgotten['sweep']}/events")
    assert "event: end" in events.text
    done = await work(client, published["sweep"])
    assert (done["state"], done["error"]) == ("succeeded", None)


def hourly() -> str:
    """Return 160 hourly readings as CSV: a wave of a day."""
    rows = (
        f"2026-01-{1 + hour // 24:02}T{hour % 24:02}:00:00Z,{20 + 5 * math.sin(hour / 3.8):.2f}" for hour in range(160)
    )
    return "\n".join(["at,temp", *rows]) + "\n"


@pytest.fixture(scope="module")
async def dataset(service: tuple[httpx.AsyncClient, Settings]) -> dict[str, Any]:
    """Return the job of a small recipe on a dataset."""
    client, _ = service
    headers = {"content-type": "text/csv"}
    assert (await client.post("/v1/datasets?name=hours", content=hourly(), headers=headers)).status_code == 201
    data = {"dataset": "hours", "targets": ["temp"], "hidden_size": 2}
    return {"model": "temp", "data": data, "epochs": 2, "window": 8, "publish": "always"}


async def test_a_sweep_on_a_dataset_publishes_a_model_that_takes_raw_readings(
    service: tuple[httpx.AsyncClient, Settings], dataset: dict[str, Any]
) -> None:
    client, _ = service
    parameters = {"data.horizon": [1, 400], "data.lags": [[], [24]], "optimiser.learning_rate": [0.01]}
    body = {"job": dataset, "parameters": parameters, "objective": "skill", "publish": {"alias": "best"}}
    made = (await client.post("/v1/sweeps", json=body)).json()
    assert made["counts"] == {"running": 2, "failed": 2}
    failed = [trial for trial in made["trials"] if trial["state"] == "failed"]
    assert all("horizon of 400 needs more" in trial["error"] for trial in failed)
    refused = (await client.delete("/v1/datasets/hours")).json()
    assert refused["type"] == "urn:cellar:problem:dataset_in_use"

    done = await work(client, made["sweep"])
    assert (done["state"], done["result"], done["error"]) == ("succeeded", "temp@1", None)
    jobs = [(await client.get(f"/v1/jobs/{trial['job']}")).json() for trial in done["trials"] if trial["job"]]
    assert {job["training"]["optimiser"]["schedule"]["type"] for job in jobs} == {"cosine"}, "that of the recipe"
    skills = [min(job["evaluation"]["better_by"].values()) for job in jobs]
    assert [trial["value"] for trial in done["trials"][:2]] == skills == sorted(skills, reverse=True)
    assert all(job["evaluation"]["mae"] > job["evaluation"]["loss"] for job in jobs), "in units of the readings"
    session = (await client.post("/v1/sessions", json={"session": "room", "model": "temp@best"})).json()
    assert session["model"] == "temp@1"
    step = await client.post("/v1/sessions/room/step", json={"input": {"temp": 20.1}})
    assert 0 < step.json()["output"][0] < 40, step.text


async def test_trials_of_a_client_are_run_and_the_best_is_published_when_it_finishes(
    service: tuple[httpx.AsyncClient, Settings],
) -> None:
    client, _ = service
    body = {"job": JOB | {"model": "model@1"}, "search": {"type": "external"}, "publish": {"alias": "told"}}
    path = (await client.post("/v1/sweeps", json=body)).headers["location"]
    for rate in (0.001, 0.05):
        asked, again = [await add(client, path, {"optimiser.learning_rate": rate}, f"{rate}") for _ in range(2)]
        assert again["trial"] == asked["trial"]
        job = await begun(client, f"{path}/trials/{asked['trial']}")
        await asyncio.to_thread(run_job, "default", job)
    for change, status in (({"batch_size": 0}, 422), ({"model": "x"}, 422), ({"optimiser.none": 1}, 422)):
        assert (await client.post(f"{path}/trials", json={"parameters": change})).status_code == status
    assert (await client.get(path)).json()["state"] == "running", "the client may add more"
    assert (await client.post(f"{path}/finish")).status_code == 200
    done = await work(client, path.rpartition("/")[2])
    assert (done["state"], done["best"]["trial"]) == ("succeeded", 2)
    told = (await client.get("/v1/models/model@told")).json()
    assert told["model"] == done["result"]
    assert (await client.get(f"{path}/trials/2")).json() == done["best"]
    assert (await client.get(f"{path}/trials/3")).status_code == 404
    late = await client.post(f"{path}/trials", json={"parameters": {"seed": 1}})
    assert late.json()["type"] == "urn:cellar:problem:sweep_not_open"


async def test_trials_that_many_clients_add_at_once_are_all_added(
    service: tuple[httpx.AsyncClient, Settings],
) -> None:
    client, _ = service
    body = {"job": JOB | {"model": "model@1"}, "search": {"type": "external"}, "publish": None, "max_parallel": 1}
    path = (await client.post("/v1/sweeps", json=body)).headers["location"]
    added = await asyncio.gather(
        *(client.post(f"{path}/trials", json={"parameters": {"seed": seed}}) for seed in range(40))
    )
    assert [each.status_code for each in added] == [202] * 40, [each.text for each in added]
    assert sorted(each.json()["trial"] for each in added) == list(range(1, 41))
    assert (await client.post(f"{path}/cancel")).json()["counts"] == {"cancelled": 40}


async def test_a_stored_sweep_is_shown_whatever_is_refused_today() -> None:
    parameters = {"window": {"min": 2.1, "max": 2.9, "integer": True}}
    others = {"search": {"type": "grid"}, "publish": None, "max_parallel": 8, "parameters": parameters}
    stored = Sweep("default", "old", {"job": {"model": "model@1"}, "epochs": 1, **others}, created_s=0.0)
    assert SweepAnswer.of(stored).model_dump()["parameters"]["window"]["max"] == 2.9


async def test_values_that_a_job_cannot_have_fail_alone(service: tuple[httpx.AsyncClient, Settings]) -> None:
    client, _ = service
    body = {"job": JOB, "parameters": {"batch_size": [0, 1], "window": [1000]}}
    refused = await client.post("/v1/sweeps", json=body)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/parameters"), "all of them"
    made = (await client.post("/v1/sweeps", json={"job": JOB, "parameters": {"batch_size": [0, 1]}})).json()
    assert made["counts"] == {"failed": 1, "running": 1}
    cancelled = await client.post(f"/v1/sweeps/{made['sweep']}/cancel")
    assert (await work(client, cancelled.json()["sweep"]))["counts"] == {"failed": 1, "cancelled": 1}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"parameters": {"optimiser.learningrate": [1]}}, "/parameters"),
        ({"parameters": {"batch_size": [0]}}, "/parameters"),
        ({"parameters": {"window": [1000]}}, "/parameters"),
        ({"parameters": {"batch_size": {"min": 1, "max": 4}}}, "/parameters/batch_size/count"),
        ({"parameters": {"seed": list(range(100)), "epochs": list(range(1, 100))}}, "/parameters"),
        ({"parameters": {"seed": {"min": 2, "max": 1}}}, "/parameters/seed"),
        ({"parameters": {"seed": {"min": 2.1, "max": 2.9, "integer": True, "count": 2}}}, "/parameters/seed"),
        ({"parameters": {"seed": [1], "/seed": [2]}}, "/parameters/~1seed"),
        ({"parameters": {}}, "/parameters"),
        ({"parameters": {"data.layout": ["TF"]}}, "/parameters/data.layout"),
        ({"parameters": {"/model": ["model@1"]}}, "/parameters/~1model"),
        ({"parameters": {"epochs": [1, 2]}, "search": {"type": "halving"}}, "/parameters/epochs"),
        ({"search": {"type": "bayes"}}, "/search"),
        ({"search": {"type": "random", "trials": 10_000}}, "/search/trials"),
        ({"search": {"type": "external"}}, "/parameters"),
        ({"objective": "mae"}, "/objective"),
        ({"job": JOB | {"model": "none"}}, None),
        ({"job": JOB | {"epochs": 0}}, "/job/epochs"),
        ({"job": JOB | {"data": DATA | {"inputs": [[1], [2, 3]]}}}, "/job/data/inputs"),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    service: tuple[httpx.AsyncClient, Settings], change: dict[str, Any], pointer: str | None
) -> None:
    client, _ = service
    answer = await client.post("/v1/sweeps", json={"job": JOB, "parameters": RATES} | change)
    assert answer.status_code == (404 if pointer is None else 422), answer.text
    assert (answer.json().get("pointer") or "").startswith(pointer or "")
