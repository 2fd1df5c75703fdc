"""What goes on beside the steps of a session outlives the service that does it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from tests.e2e.replica import serving

pytestmark = pytest.mark.anyio

LAYER = {"type": "recurrent", "cell": "rnn", "hidden_size": 3}
X = 0.5


async def post(client: httpx.AsyncClient, url: str, body: Any) -> dict[str, Any]:
    """Send a body and return what is answered."""
    answer = await client.post(url, json=body)
    assert answer.is_success, answer.text
    return dict(answer.json())


async def events(client: httpx.AsyncClient, url: str, last: str | None) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Yield the changes that are told after the last id, until the service is gone."""
    headers = {} if last is None else {"Last-Event-ID": last}
    try:
        async with client.stream("GET", f"{url}/events?kept=true", headers=headers) as answer:
            assert answer.status_code == 200
            number = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                number = value if name == "id" else number
                if name == "data":
                    yield number, json.loads(value)
    except httpx.TransportError:
        return


async def test_watching_shadow_and_migration_outlive_a_killed_service(shared: dict[str, str]) -> None:
    """A client steps and never stops; what was begun at the service that is killed is whole at the other one."""
    with serving(shared) as survivor, serving(shared) as doomed:
        async with httpx.AsyncClient(timeout=30) as client:
            for name, seed in (("mine", 1), ("next", 2)):
                network = {"in_size": 1, "layers": [LAYER]}
                await post(client, f"{doomed.url}/v1/models", {"name": name, "network": network, "seed": seed})
            path = "/v1/sessions/lasting"
            body = {"session": "lasting", "model": "mine", "log": 10000, "events": 10000}
            await post(client, f"{doomed.url}/v1/sessions", body)
            assert (await client.put(f"{doomed.url}{path}/shadow", json={"model": "next"})).status_code == 200

            seen: list[tuple[str, str]] = []
            positions: list[str] = []

            async def watch(url: str, until: int) -> None:
                # aclosing wants a narrower type
                async with aclosing(events(client, url + path, seen[-1][0] if seen else None)) as told:  # type: ignore[type-var]
                    async for number, data in told:
                        seen.append((number, data["position"]))
                        if len(seen) == until:
                            return

            async def steps(count: int) -> None:
                for _ in range(count):
                    answer = await post(client, f"{survivor.url}{path}/step", {"input": [X]})
                    positions.append(answer["position"])

            watching = asyncio.create_task(watch(doomed.url, 10**6))
            await steps(30)
            migrating = asyncio.create_task(
                client.post(f"{doomed.url}{path}/migrate", json={"model": "next", "how": "replay"})
            )
            await steps(2)
            doomed.kill()
            await asyncio.gather(migrating, watching, return_exceptions=True)
            await steps(20)

            # the migration has happened, or it has not: all steps are there either way, each once
            model = (await client.get(survivor.url + path)).json()["model"]
            migrated = model == "next@1"
            assert migrated or model == "mine@1"
            async with asyncio.timeout(20):
                await watch(survivor.url, 1 + len(positions) + migrated)
            told = [position for _, position in seen]
            assert [position for position in told[1:] if position in positions] == positions
            assert len(set(told)) == len(told)
            if not migrated:
                await post(client, f"{survivor.url}{path}/migrate", {"model": "next", "how": "replay"})
            plain = await post(client, f"{survivor.url}/v1/sessions", {"model": "next"})
            other = f"{survivor.url}/v1/sessions/{plain['session']}"
            await post(client, f"{other}/sequence", {"inputs": [[X]] * len(positions)})
            states = [(await client.get(f"{url}/state")).json()["layers"] for url in (survivor.url + path, other)]
            assert states[0] == states[1]

            async with asyncio.timeout(20):
                # there is no event to wait for
                while (shadow := (await client.get(f"{survivor.url}{path}/shadow")).json())["behind"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)  # between two looks: there is no event
            assert (shadow["steps"], shadow["missed"], shadow["stopped"]) == (len(positions), 0, None)
