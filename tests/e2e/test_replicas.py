"""Services as `cellar serve` starts them, on one Redis: a session is at home in all, and outlives any."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.replica import Replica, serving

pytestmark = pytest.mark.anyio

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 16}]}


@pytest.fixture
def replicas(shared: dict[str, str], request: pytest.FixtureRequest) -> Iterator[tuple[Replica, Replica]]:
    """Yield two services, which store as many states as a test wants: every one by default."""
    settings = shared | {"CELLAR_STATE_EVERY": getattr(request, "param", "1")}
    with serving(settings) as one, serving(settings) as other:
        yield one, other


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Yield an HTTP client with a connection for everybody."""
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def post(client: httpx.AsyncClient, url: str, body: Any, key: str | None = None) -> dict[str, Any]:
    """Send a body and return what is answered."""
    answer = await client.post(url, json=body, headers={} if key is None else {"Idempotency-Key": key})
    assert answer.is_success, answer.text
    return dict(answer.json())


async def begin(client: httpx.AsyncClient, url: str) -> str:
    """Create the model if need be, and a session of it; return the session's path."""
    await post(client, f"{url}/v1/models", {"name": "model", "network": NETWORK})
    made = await post(client, f"{url}/v1/sessions", {"model": "model"})
    return f"/v1/sessions/{made['session']}"


@dataclass
class Answered:
    """A step that a client was answered: its input, and the answer."""

    x: float
    answer: dict[str, Any]


async def check(client: httpx.AsyncClient, url: str, session: str, answered: list[Answered]) -> None:
    """Fail unless these steps are the session's history: each once, with the bits of one long sequence."""
    answered.sort(key=lambda each: int(each.answer["step"]))
    assert [each.answer["step"] for each in answered] == list(range(1, len(answered) + 1))
    there = (await client.get(url + session)).json()
    assert there["position"] == answered[-1].answer["position"]
    other = await begin(client, url)
    at_once = await post(client, f"{url}{other}/sequence", {"inputs": [[each.x] for each in answered]})
    assert [each.answer["output"] for each in answered] == at_once["outputs"]
    states = [(await client.get(f"{url}{each}/state")).json()["layers"] for each in (session, other)]
    assert states[0] == states[1]


@pytest.mark.parametrize("replicas", ["1", "16"], indirect=True)
async def test_sixteen_clients_step_one_session_through_two_services_and_one_is_killed(
    replicas: tuple[Replica, Replica], client: httpx.AsyncClient
) -> None:
    survivor, doomed = replicas
    session = await begin(client, doomed.url)
    answered: list[Answered] = []
    moved: set[int] = set()

    async def append(number: int) -> None:
        """Append the same input again and again, with nothing to tell one request from the other."""
        url = f"{replicas[number % 2].url}{session}/step"
        for _ in range(10):
            answered.append(Answered(0.5, await post(client, url, {"input": [0.5]})))  # noqa: PERF401  # as they come

    async def insist(number: int) -> None:
        """Send with a key what must not be lost, and once more, to the other service, when there is no answer."""
        url = f"{replicas[number % 2].url}{session}/step"
        for request in range(15):
            x, key = (number + request) / 16, f"{number}-{request}"
            try:
                answer = await post(client, url, {"input": [x]}, key)
            except httpx.TransportError:
                moved.add(number)
                url = f"{survivor.url}{session}/step"
                answer = await post(client, url, {"input": [x]}, key)
            answered.append(Answered(x, answer))
            if len(answered) == 200:
                doomed.kill()

    await asyncio.gather(*[append(number) for number in range(16)])
    await check(client, doomed.url, session, answered)
    await asyncio.gather(*[insist(number) for number in range(16)])
    assert moved == set(range(1, 16, 2)), "those whose service was killed in the middle"
    await check(client, survivor.url, session, answered)
