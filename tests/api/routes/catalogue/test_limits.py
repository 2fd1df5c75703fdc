"""Quotas of a tenant: refused with 429 beyond them, shown at `/v1/limits`, and changed while the service runs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from cellar.settings import Settings
from cellar.store.catalogue.quotas import RedisQuotas
from cellar.store.topology.factory import sync_client
from tests.api.conftest import with_own_keys
from tests.api.connections import Answer, connected, request, step
from tests.api.websocket.conftest import NETWORK, Served, serving, until

pytestmark = pytest.mark.anyio

QUOTAS = {
    "tenant_sessions": 6,
    "tenant_state_bytes": 10_000,
    "tenant_models": 2,
    "tenant_parameters": 1000,
    "tenant_streams": 1,
    "tenant_jobs": 0,
}


@pytest.fixture(scope="module")
def own(settings: Settings) -> Settings:
    """Return the settings of a service with quotas."""
    return with_own_keys(settings, **QUOTAS)


@pytest.fixture(scope="module")
async def served(own: Settings) -> AsyncIterator[Served]:
    """Yield a service with quotas."""
    async with serving(own) as served:
        yield served


async def change(served: Served, own: Settings, **limits: float | None) -> None:
    """Give the tenant limits of its own, as `cellar keys limits` does, and have the process read them."""
    assert own.redis_url is not None
    store = RedisQuotas(sync_client(own.redis_url), own.key_prefix)
    await asyncio.to_thread(store.set_limits, "default", limits)
    await served.app.state.services.quotas.refresh()


def check_refused(answer: httpx.Response, quota: str, limit: float) -> None:
    """Check that a request was refused for a quota."""
    said = answer.json()
    assert (answer.status_code, said["type"]) == (429, "urn:cellar:problem:quota_exceeded"), answer.text
    assert (said["quota"], said["limit"], said["outcome"]) == (quota, limit, "not_applied")
    assert said["setting"] == f"CELLAR_TENANT_{quota.upper()}"
    assert said["setting"] in said["detail"]
    assert int(answer.headers["retry-after"]) >= 1


async def test_sessions_and_their_states(served: Served, own: Settings) -> None:
    for number in range(6):
        assert (
            await served.http.post("/v1/sessions", json={"session": f"s{number}", "model": "gru"})
        ).status_code == 201
    check_refused(await served.http.post("/v1/sessions", json={"session": "s6", "model": "gru"}), "sessions", 6)
    again = await served.http.post("/v1/sessions", json={"session": "s0", "model": "gru"})
    assert again.status_code == 200, "one that exists is answered"
    lines = b'{"session": "s1", "model": "gru"}\n{"session": "s7", "model": "gru"}\n'
    many = await served.http.post("/v1/sessions/bulk", content=lines, headers={"content-type": "application/x-ndjson"})
    assert [("replayed" in line, "quota" in line) for line in many.text.splitlines()] == [(True, False), (False, True)]
    assert (await served.http.delete("/v1/sessions/s5")).is_success
    big = {"session": "big", "model": "gru", "batch_size": 1000 // 16}
    await change(served, own, state_bytes=200)
    check_refused(await served.http.post("/v1/sessions", json=big), "state_bytes", 200)
    await change(served, own)
    assert (await served.http.post("/v1/sessions", json=big)).status_code == 201
    await served.http.delete("/v1/sessions/big")


async def test_models_parameters_and_jobs(served: Served) -> None:
    wide = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 64}]}
    check_refused(await served.http.post("/v1/models", json={"name": "wide", "network": wide}), "parameters", 1000)
    assert (await served.http.post("/v1/models", json={"name": "two", "network": NETWORK})).status_code == 201
    check_refused(await served.http.post("/v1/models", json={"name": "three", "network": NETWORK}), "models", 2)
    assert (await served.http.post("/v1/models", json={"name": "two", "network": NETWORK})).status_code == 200
    job = {"model": "two", "data": {"inputs": [[[0, 0]], [[1, 1]]], "targets": [[[0, 0, 0]], [[1, 1, 1]]]}}
    check_refused(await served.http.post("/v1/jobs", json=job), "jobs", 0)


async def test_data_of_cancelled_jobs_and_of_sweeps_count_while_they_are_kept(served: Served, own: Settings) -> None:
    data = {"inputs": [[[0, 0]], [[1, 1]]], "targets": [[[0, 0, 0]], [[1, 1, 1]]]}
    job = {"model": "gru", "data": data}
    await change(served, own, jobs=9)
    try:
        made = (await served.http.post("/v1/jobs", json=job)).raise_for_status().json()["job"]
        said = (await served.http.get("/v1/limits")).json()["quotas"]
        limit = 1 + next(each["used"] for each in said if each["name"] == "dataset_bytes")
        await change(served, own, jobs=9, dataset_bytes=limit)
        (await served.http.post(f"/v1/jobs/{made}/cancel")).raise_for_status()
        check_refused(await served.http.post("/v1/jobs", json=job), "dataset_bytes", limit)
        (await served.http.delete(f"/v1/jobs/{made}")).raise_for_status()
        sweep = {"job": job, "search": {"type": "external"}}
        begun = (await served.http.post("/v1/sweeps", json=sweep)).raise_for_status().json()["sweep"]
        check_refused(await served.http.post("/v1/sweeps", json=sweep), "dataset_bytes", limit)
        (await served.http.post(f"/v1/sweeps/{begun}/cancel")).raise_for_status()
        assert (await served.http.post("/v1/jobs", json=job)).status_code == 202
    finally:
        await change(served, own)


async def test_steps_a_second_on_every_path(served: Served, own: Settings) -> None:
    """A refused step is not applied, and the next one in time is."""
    session = (await served.http.get("/v1/sessions")).json()["sessions"][0]["session"]
    await change(served, own, steps_per_second=20)
    try:
        async with connected(served) as client:
            answers: list[Answer] = []
            for _ in range(60):
                client.writer.write(request(session, step(1, 2)))
                answers.append(await client.answer())
                if answers[-1].status == 429:
                    break
            refused = answers[-1]
            assert (refused.status, refused.body["quota"], refused.body["limit"]) == (429, "steps_per_second", 20)
            assert int(refused.headers["retry-after"]) >= 1
            applied = len(answers) - 1
            sequence = await served.http.post(f"/v1/sessions/{session}/sequence", json={"inputs": 100 * [[1, 2]]})
            check_refused(sequence, "steps_per_second", 20)

            async def is_served_again() -> bool:
                client.writer.write(request(session, step(1, 2)))
                answer = await client.answer()
                return answer.status == 200 and answer.body["step"] == applied + 1

            async with asyncio.timeout(30):
                while not await is_served_again():  # noqa: ASYNC110  # the bucket has no event to wait for
                    await asyncio.sleep(0.05)
    finally:
        await change(served, own)


async def test_streams(served: Served, own: Settings) -> None:
    async with served.stream() as stream:
        await stream.receive()
        with pytest.raises(Exception, match="429"):
            async with served.stream() as other:
                await other.receive()
        await change(served, own, streams=2)
        async with served.stream() as other:
            await other.receive()
    await change(served, own)
    await until(lambda: not served.app.state.streams.sockets)


async def test_connections(served: Served, own: Settings) -> None:
    head = b"GET /v1/limits HTTP/1.1\r\nHost: test\r\n\r\n"
    await change(served, own, connections=3)  # one is that of the client of the test
    try:
        async with connected(served) as first, connected(served) as second, connected(served) as third:
            for client in (first, second):
                client.writer.write(head)
                assert (await client.answer()).status == 200
            third.writer.write(head)
            refused = await third.answer()
            assert (refused.status, refused.body["quota"], refused.body["limit"]) == (429, "connections", 3)
            assert await third.reader.read() == b"", "it is closed"
            first.writer.write(head)
            assert (await first.answer()).status == 200
    finally:
        await change(served, own)


async def test_what_may_be_used_and_is_used_is_told(served: Served, own: Settings) -> None:
    await change(served, own, models=5)
    said: dict[str, Any] = (await served.http.get("/v1/limits")).raise_for_status().json()
    await change(served, own)
    quotas = {each["name"]: each for each in said["quotas"]}
    assert said["tenant"] == "default"
    assert (quotas["models"]["limit"], quotas["models"]["source"], quotas["models"]["used"]) == (5, "tenant", 2)
    assert (quotas["sessions"]["limit"], quotas["sessions"]["source"]) == (6, "setting")
    assert quotas["dataset_bytes"]["limit"] is None
    service = {each["setting"]: each["limit"] for each in said["service"]}
    assert service["CELLAR_MAX_BODY_BYTES"] == own.max_body_bytes


async def test_processes_count_what_the_others_use(served: Served, own: Settings) -> None:
    """A second process of the fleet finds the streams of the first, and the steps that it has taken."""
    await change(served, own, steps_per_second=50)
    async with serving(own) as other, served.stream() as stream:
        await stream.receive()
        async with connected(other) as client:
            used = 0
            async with asyncio.timeout(30):
                while used != 1:
                    client.writer.write(b"GET /v1/limits HTTP/1.1\r\nHost: test\r\n\r\n")
                    answer: Any = await client.answer()
                    used = next(each["used"] for each in answer.body["quotas"] if each["name"] == "streams")
        with pytest.raises(Exception, match="429"):
            async with other.stream() as refused:
                await refused.receive()
    await change(served, own)
