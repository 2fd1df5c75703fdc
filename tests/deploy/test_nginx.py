"""The example of nginx in `deploy/nginx`: all requests of a session go to one service, and to another if it is gone."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.debian_packages import needs
from tests.e2e.conftest import shared  # noqa: F401  # a fixture
from tests.e2e.replica import Replica, serving
from tests.ports import free_port
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "nginx.conf"

SESSIONS = [f"pump {index}/ä" for index in range(12)]

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 3}]}

pytestmark = needs("nginx", "nginx-light")


@dataclass
class Front:
    """A running nginx."""

    url: str
    log: Path

    def services(self) -> dict[str, set[str]]:
        """Return by the path of its requests the services that a session had."""
        found: dict[str, set[str]] = {}
        for line in self.log.read_text().splitlines():
            target, *services = line.split(" ")
            if target.startswith("/v1/sessions/"):
                found.setdefault(target, set()).update(services)
        return found


@contextmanager
def nginx(ports: Sequence[int]) -> Iterator[Front]:
    """Run nginx with the example in front of services on these ports."""
    port, text = free_port(), EXAMPLE.read_text()
    for address, service in zip(("10.0.0.1:8080", "10.0.0.2:8080"), ports, strict=True):
        assert address in text
        text = text.replace(address, f"127.0.0.1:{service}")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        paths = "".join(
            f"    {name}_temp_path {directory}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        log = f"    log_format services '$request_uri $upstream_addr';\n    access_log {directory}/log services;\n"
        text = text.replace("http {\n", f"http {{\n{log}{paths}", 1)
        (Path(directory) / "nginx.conf").write_text(f"pid {directory}/pid;\n{text}")
        command = ["nginx", "-p", directory, "-c", f"{directory}/nginx.conf", "-e", "stderr", "-g", "daemon off;"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _answers(url), 10, "nginx answers")
            yield Front(url, Path(directory) / "log")
        finally:
            process.terminate()
            process.wait(10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def replicas(shared: dict[str, str]) -> Iterator[list[Replica]]:  # noqa: F811
    """Yield two services, which know each other's URLs."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    own = [
        shared | {"CELLAR_PORT": url.rpartition(":")[2], "CELLAR_NODE": url, "CELLAR_NODES": ",".join(urls)}
        for url in urls
    ]
    with serving(own[0]) as one, serving(own[1]) as other:
        httpx.post(f"{one.url}/v1/models", json={"name": "model", "network": NETWORK}, timeout=60).raise_for_status()
        for session in SESSIONS:
            body = {"session": session, "model": "model"}
            httpx.post(f"{one.url}/v1/sessions", json=body, timeout=60).raise_for_status()
        yield [one, other]


def path(session: str) -> str:
    """Return the path of a session's steps."""
    return f"/v1/sessions/{quote(session, safe='')}/step"


def steps(url: str, times: int, first: int) -> None:
    """Step each session a number of times, over connections of its own."""
    for step in range(first, first + times):
        for session in SESSIONS:
            answer = httpx.post(url + path(session), json={"input": [1], "step": step}, timeout=30).raise_for_status()
            assert answer.json()["step"] == step + 1


def test_sessions_stay_with_their_service_and_survive_it(replicas: list[Replica]) -> None:
    ports = [httpx.URL(replica.url).port or 0 for replica in replicas]
    with nginx(ports) as front:
        steps(front.url, 3, 0)
        found = front.services()
        assert {len(services) for services in found.values()} == {1}
        assert set.union(*found.values()) == {f"127.0.0.1:{port}" for port in ports}
        replicas[1].kill()
        steps(front.url, 2, 3)


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
