"""A version is deleted by a process that is killed between the parts of the deletion; another one finishes it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.e2e import dying
from tests.e2e.replica import serving

pytestmark = pytest.mark.anyio

CELL = {"equations": "h = b_keep * h + x"}
NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": CELL, "hidden_size": 1}]}


async def sent(client: httpx.AsyncClient, method: str, url: str, body: Any) -> dict[str, Any]:
    """Send a body and return what is answered."""
    answer = await client.request(method, url, json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def step(client: httpx.AsyncClient, url: str, session: str) -> tuple[int, dict[str, Any]]:
    """Step a session."""
    answer = await client.post(f"{url}/v1/sessions/{session}/step", json={"input": [1]})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("blobs", ["redis", "directory"])
@pytest.mark.parametrize("point", dying.POINTS)
async def test_a_deletion_is_finished_by_another_process(
    shared: dict[str, str], point: str, blobs: str, tmp_path: Path
) -> None:
    if blobs == "directory":
        shared["CELLAR_BLOB_DIR"] = str(tmp_path)
    sessions = [f"s{number}" for number in range(5)]
    async with httpx.AsyncClient(timeout=30) as client:
        with serving(shared) as survivor:
            for keep in (0.5, 0.25):
                version = {"network": NETWORK, "weights": {"0.b_keep": [keep]}}
                await sent(client, "PUT", f"{survivor.url}/v1/models/pump", version)
            await sent(client, "PUT", f"{survivor.url}/v1/models/pump/aliases/old", {"version": 1})
            for number, session in enumerate(sessions):
                model = "pump@old" if number % 2 else "pump@1"
                await sent(client, "POST", f"{survivor.url}/v1/sessions", {"session": session, "model": model})
                assert (await step(client, survivor.url, session))[0] == 200
            with serving(shared, dying.command(point)) as doomed:
                with pytest.raises(httpx.TransportError):
                    await client.delete(f"{doomed.url}/v1/models/pump@1?force=true")
                if point == "unchanged":
                    assert [(await step(client, survivor.url, each))[0] for each in sessions] == 5 * [200]
                    await client.delete(f"{survivor.url}/v1/models/pump@1?force=true")
                async with asyncio.timeout(20):
                    # there is no event to wait for
                    while {(await step(client, survivor.url, each))[0] for each in sessions} != {410}:  # noqa: ASYNC110
                        await asyncio.sleep(0.2)
                assert (await client.get(f"{survivor.url}/v1/models/pump@1")).status_code == 404
                assert (await client.get(f"{survivor.url}/v1/models/pump")).json()["model"] == "pump@2"
                assert (await client.get(f"{survivor.url}/v1/models/pump/aliases")).json()["aliases"] == []
        with serving(shared) as later:
            for session in sessions:
                status, problem = await step(client, later.url, session)
                assert (status, problem["type"]) == (410, "urn:cellar:problem:model_deleted")
                assert "pump@1" in problem["detail"]
                path = f"{later.url}/v1/sessions/{session}"
                kept = (await client.get(f"{path}/state")).json()["layers"][0]["h"][0][0]
                await sent(client, "POST", f"{path}/migrate", {"model": "pump@2"})
                assert (await step(client, later.url, session))[1]["output"] == [0.25 * kept + 1]


async def test_sessions_follow_their_alias_while_services_are_killed(shared: dict[str, str]) -> None:
    """The alias moves while a client sends steps: each is applied once, on the version that its answer names."""
    async with httpx.AsyncClient(timeout=30) as client:
        with serving(shared) as survivor:
            for keep in (0.5, 0.25):
                version = {"network": NETWORK, "weights": {"0.b_keep": [keep]}}
                await sent(client, "PUT", f"{survivor.url}/v1/models/pump", version)
            await sent(client, "PUT", f"{survivor.url}/v1/models/pump/aliases/live", {"version": 1})
            await sent(client, "POST", f"{survivor.url}/v1/sessions", {"session": "s", "model": "pump@live"})
            state, seq = 0.0, 0
            for round_number in range(3):
                with serving(shared) as doomed:
                    urls = [doomed.url, survivor.url]
                    for number in range(40):
                        if number % 10 == 5:
                            to = {"version": 1 + (round_number + number // 10) % 2}
                            await sent(client, "PUT", f"{survivor.url}/v1/models/pump/aliases/live", to)
                        if number == 27:
                            doomed.kill()
                        seq += 1
                        body = {"input": [seq % 7], "writer": "w", "seq": seq}
                        answer = await applied(client, urls, body)
                        keep = {"pump@1": 0.5, "pump@2": 0.25}[answer["model"]]
                        state = keep * state + seq % 7
                        assert answer["output"] == [float(np.float32(state))], seq
                        state = answer["output"][0]
                        assert answer["step"] == seq
                        urls.reverse()


async def applied(client: httpx.AsyncClient, urls: list[str], body: dict[str, Any]) -> dict[str, Any]:
    """Send a step until a service answers it."""
    while True:
        for url in urls:
            try:
                answer = await client.post(f"{url}/v1/sessions/s/step", json=body)
            except httpx.TransportError:
                continue
            assert answer.status_code == 200, answer.text
            return dict(answer.json())
