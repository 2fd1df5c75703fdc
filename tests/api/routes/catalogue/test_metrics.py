"""The contents of `/metrics` and `/v1/stats`, and which callers may read them."""

from collections.abc import AsyncIterator

import httpx
import pytest

from cellar.main import create_app
from cellar.ports import Scope
from cellar.settings import Settings
from tests.api.conftest import running
from tests.api.keys import administration, with_keys

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 2}]}


def values(text: str) -> dict[str, float]:
    """Return the samples of an exposition by their names with labels."""
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[0] != "#"}


async def metrics(client: httpx.AsyncClient) -> dict[str, float]:
    """Return the metrics."""
    return values((await client.get("/metrics")).raise_for_status().text)


async def test_steps_and_problems_are_counted(client: httpx.AsyncClient) -> None:
    await client.post("/v1/models", json={"name": "counted", "network": NETWORK})
    await client.post("/v1/sessions", json={"model": "counted", "session": "a"})
    before = await metrics(client)
    for body, status in (({"input": [1], "step": 0}, 200), ({"input": [1], "step": 0}, 200), ({"input": [1, 2]}, 422)):
        assert (await client.post("/v1/sessions/a/step", json=body)).status_code == status
    await client.post("/v1/sessions/a/sequence", json={"inputs": [[1], [2], [3]]})
    await client.get("/v1/sessions/unknown")
    after = await metrics(client)
    more = {name: value - before.get(name, 0) for name, value in after.items() if "requests_total" in name}
    assert {name: value for name, value in more.items() if value} == {
        'cellar_step_requests_total{transport="http_json",outcome="committed"}': 2,
        'cellar_step_requests_total{transport="http_json",outcome="replayed"}': 1,
        'cellar_step_requests_total{transport="http_json",outcome="refused"}': 1,
        'cellar_model_requests_total{tenant="default",model="counted"}': 2,
    }
    assert after['cellar_model_steps_total{tenant="default",model="counted"}'] == 4
    for kind in ("shape_mismatch", "session_unknown"):
        name = f'cellar_problems_total{{type="{kind}"}}'
        assert after[name] - before.get(name, 0) == 1
    assert after["cellar_redis_up"] == 1
    assert after['cellar_jobs{state="queued"}'] == 0
    assert after["cellar_step_seconds_count"] - before["cellar_step_seconds_count"] == 2


async def test_the_format_is_the_one_that_accept_asks_for(client: httpx.AsyncClient) -> None:
    prometheus = (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75"
        ",text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    )
    answer = await client.get("/metrics", headers={"accept": prometheus})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n")
    answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert (await client.get("/metrics", headers={"accept": "image/png"})).status_code == 406


async def test_stats_of_a_service_without_keys_have_everything(client: httpx.AsyncClient) -> None:
    stats = (await client.get("/v1/stats")).raise_for_status().json()
    assert stats["scope"] == "service"
    assert [process["name"] for process in stats["processes"]] == ["api"]
    assert stats["store"]["ready"]
    assert stats["sessions"]["cached"] >= 0
    assert None not in stats.values()


@pytest.fixture(scope="module")
async def keyed(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """Yield a client of a service with keys, and a key of each kind, by its tenant and scope."""
    own = with_keys(settings)
    wanted: list[tuple[str, Scope]] = [("mixer", "admin"), ("quiet", "read"), ("ops", "metrics")]
    made = {f"{tenant} {scope}": administration(own).create(tenant, scope, [scope]).text for tenant, scope in wanted}
    async with running(create_app(own)) as client:
        requests = {
            "models": {"name": "secret", "network": NETWORK},
            "sessions": {"model": "secret", "session": "s"},
            "sessions/s/step": {"input": [1]},
        }
        for path, body in requests.items():
            answer = await client.post(f"/v1/{path}", json=body, headers=bearer(made["mixer admin"]))
            answer.raise_for_status()
        yield client, made


def bearer(key: str) -> dict[str, str]:
    """Return the header of a request with a key."""
    return {"authorization": f"Bearer {key}"}


async def test_metrics_need_a_key_that_no_tenant_can_make(keyed: tuple[httpx.AsyncClient, dict[str, str]]) -> None:
    client, made = keyed
    assert (await client.get("/metrics")).status_code == 401
    refused = await client.get("/metrics", headers=bearer(made["mixer admin"]))
    assert (refused.status_code, refused.json()["scope"]) == (403, "metrics")
    body = {"name": "mine", "scopes": ["metrics"]}
    assert (await client.post("/v1/keys", json=body, headers=bearer(made["mixer admin"]))).status_code == 422
    found = values((await client.get("/metrics", headers=bearer(made["ops metrics"]))).raise_for_status().text)
    assert found['cellar_model_steps_total{tenant="mixer",model="secret"}'] == 1


async def test_a_tenant_sees_its_own_models_and_no_counts_of_others(
    keyed: tuple[httpx.AsyncClient, dict[str, str]],
) -> None:
    client, made = keyed
    stats = {}
    for name, key in made.items():
        stats[name] = (await client.get("/v1/stats", headers=bearer(key))).raise_for_status().json()
    assert [(model["model"], model["steps"]) for model in stats["mixer admin"]["models"]] == [("secret", 1)]
    assert stats["quiet read"]["models"] == []
    assert stats["quiet read"]["steps"] == {"total": 0, "per_second": 0}
    for name in ("mixer admin", "quiet read"):
        assert stats[name]["scope"] == "tenant"
        assert {stats[name][member] for member in ("requests", "sessions", "traffic", "processes")} == {None}
    assert stats["ops metrics"]["scope"] == "service"
    assert [model["tenant"] for model in stats["ops metrics"]["models"] if model["model"] == "secret"] == ["mixer"]
