"""A service is killed in the middle of a fork: another one completes it."""

import asyncio

import httpx
import pytest

from tests.e2e.replica import serving

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 3}]}
CHILDREN = 256


async def until_begun(client: httpx.AsyncClient) -> None:
    """Wait until there is a child."""
    async with asyncio.timeout(30):
        while not (await client.get("/v1/sessions", params={"prefix": "child."})).json()["sessions"]:
            pass  # one request after the other, so that the first child is seen


async def layers(client: httpx.AsyncClient, session: str) -> object:
    """Return the state of a session."""
    return (await client.get(f"/v1/sessions/{session}/state")).json()["layers"]


async def test_a_fork_that_was_killed_is_completed_by_another_service(shared: dict[str, str]) -> None:
    with serving(shared) as survivor, serving(shared) as doomed:
        async with httpx.AsyncClient(base_url=survivor.url, timeout=60) as client:
            await client.post("/v1/models", json={"name": "model", "network": NETWORK})
            await client.post("/v1/sessions", json={"model": "model", "session": "parent"})
            here = (await client.post("/v1/sessions/parent/step", json={"input": [1]})).json()["position"]
            state = await layers(client, "parent")
            body = {"names": [f"child.{number}" for number in range(CHILDREN)], "position": here}
            fork = asyncio.create_task(client.post(f"{doomed.url}/v1/sessions/parent/fork", json=body))
            await until_begun(client)
            doomed.kill()
            await asyncio.wait([fork])
            await client.post("/v1/sessions/parent/step", json={"input": [2]})

            first, again = [(await client.post("/v1/sessions/parent/fork", json=body)).json() for _ in range(2)]
            assert first == again
            assert all(child["problem"] is None for child in first["children"])
            assert [await layers(client, name) for name in body["names"]] == [state] * CHILDREN
            assert fork.exception() is not None or fork.result().json() == first
