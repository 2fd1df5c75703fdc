"""nginx and Caddy with the examples in `deploy/`, with HTTPS before two services; clients that know the services."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.debian_packages import needs
from tests.deploy.proxies import SERVED_BY, Front, caddy, nginx
from tests.e2e.conftest import shared  # noqa: F401  # a fixture
from tests.e2e.replica import Replica, serving
from tests.ports import free_port
from tests.waiting import wait_until

SESSIONS = [f"pump {index}/ä" for index in range(12)]

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 3}]}

Proxy = Callable[[Sequence[int]], AbstractContextManager[Front]]


@pytest.fixture
def replicas(shared: dict[str, str]) -> Iterator[list[Replica]]:  # noqa: F811  # a fixture, imported above
    """Yield two services, which know each other's URLs."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    own = [
        shared | {"CELLAR_PORT": url.rpartition(":")[2], "CELLAR_NODE": url, "CELLAR_NODES": ",".join(urls)}
        for url in urls
    ]
    with serving(own[0]) as one, serving(own[1]) as other:
        httpx.post(f"{one.url}/v1/models", json={"name": "model", "network": NETWORK}, timeout=60).raise_for_status()
        for session in SESSIONS:
            body = {"session": session, "model": "model", "events": 10}
            httpx.post(f"{one.url}/v1/sessions", json=body, timeout=60).raise_for_status()
        yield [one, other]


def path(session: str, operation: str = "step") -> str:
    """Return the path of an operation of a session."""
    return f"/v1/sessions/{quote(session, safe='')}/{operation}"


def served_by(front: Front, times: int, first: int) -> dict[str, set[str]]:
    """Step each session a number of times, and return the addresses of the services that answered, by session."""
    found: dict[str, set[str]] = {session: set() for session in SESSIONS}
    for step in range(first, first + times):
        with front.client() as client:
            for session in SESSIONS:
                body = {"input": [1], "step": step}
                answer = client.post(path(session), json=body).raise_for_status()
                assert answer.json()["step"] == step + 1
                found[session].add(answer.headers[SERVED_BY].rpartition(", ")[2])
    return found


def stepped(client: httpx.Client, session: str, step: int) -> bool:
    """Send a step that can be repeated, and return whether it was answered."""
    try:
        answer = client.post(path(session), json={"input": [1], "step": step})
    except httpx.RemoteProtocolError:  # the service was killed between the head of an answer and its body
        return False
    assert answer.status_code in (200, 502), answer.text
    return answer.status_code == 200 and bool(answer.json()["step"] == step + 1)


async def step_over_websocket(front: Front, session: str) -> str:
    """Return the answer to a step over a WebSocket."""
    url = front.url.replace("https", "wss") + path(session, "stream")
    async with connect(url, ssl=front.trusted) as stream:
        await stream.recv()
        await stream.send('{"input": [1]}')
        return str(await stream.recv())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "proxy",
    [pytest.param(nginx, marks=needs("nginx", "nginx-light")), pytest.param(caddy, marks=needs("caddy", "caddy"))],
)
def test_a_proxy_keeps_sessions_together_and_passes_streams(replicas: list[Replica], proxy: Proxy) -> None:
    """Sessions with any name stay with their service, and go to another one if that ends."""
    ports = [httpx.URL(replica.url).port or 0 for replica in replicas]
    with proxy(ports) as front:
        found = served_by(front, 3, 0)
        assert {len(services) for services in found.values()} == {1}
        assert set.union(*found.values()) == {f"127.0.0.1:{port}" for port in ports}
        session = SESSIONS[0]
        assert '"step":4' in asyncio.run(step_over_websocket(front, session))
        with front.client() as client, client.stream("GET", path(session, "events")) as events:
            client.post(path(session), json={"input": [1], "step": 4}).raise_for_status()
            assert any('"step":5' in line for line in events.iter_lines())  # the stream has not ended
        with front.client() as client:
            lines = b"".join(b'{"session": "%s", "input": [1], "step": 3}\n' % each.encode() for each in SESSIONS[1:])
            headers = {"content-type": "application/x-ndjson"}
            answers = client.post("/v1/steps", content=lines, headers=headers).raise_for_status().text
            assert answers.count('"step":4') == len(SESSIONS) - 1
            client.post(path(session, "reset")).raise_for_status()
        replicas[1].kill()
        with front.client() as client:
            for each in SESSIONS[1:]:
                # On a connection that the killed service has just left, the proxy does not know what was applied: 502.
                wait_until(lambda each=each: stepped(client, each, 4), 30, "another service answers")  # type: ignore[misc]


def test_clients_are_told_and_redirected(replicas: list[Replica]) -> None:
    urls = {replica.url for replica in replicas}
    found = set()
    for session in SESSIONS:
        told = [
            httpx.post(replica.url + path(session), json={"input": [1]}, headers={"Cellar-Route": "tell"}, timeout=30)
            for replica in replicas
        ]
        (owner,) = {answer.headers["cellar-owner"] for answer in told}
        (wrong,) = urls - {owner}
        body, headers = {"input": [1]}, {"Cellar-Route": "redirect"}
        answer = httpx.post(wrong + path(session), json=body, headers=headers, timeout=30)
        assert (answer.status_code, answer.headers["location"]) == (307, owner + path(session))
        answer = httpx.post(wrong + path(session), json=body, headers=headers, timeout=30, follow_redirects=True)
        assert (answer.status_code, answer.json()["step"], answer.url.host) == (200, 3, "127.0.0.1")
        found.add(owner)
    assert found == urls
