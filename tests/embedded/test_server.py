"""The private Redis with real servers: shared, adopted after a kill, started again, stopped by the last."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cellar.embedded.directory import Directory
from cellar.embedded.server import PrivateRedis
from cellar.errors import StartupError
from cellar.machine import memory_bytes
from tests.waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """Yield a data directory; whatever Redis still runs there at the end is stopped."""
    yield tmp_path / "data"
    with PrivateRedis(Directory(tmp_path / "data")):
        pass


def client_of(server: PrivateRedis) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)


def process_of(server: PrivateRedis) -> int:
    with client_of(server) as client:
        return int(client.info("server")["process_id"])


def is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_it_is_as_durable_as_promised_and_closed_to_the_network(data: Path) -> None:
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        config = client.config_get("*")
        assert (config["appendonly"], config["appendfsync"]) == ("yes", "always")
        assert (config["maxmemory-policy"], config["port"]) == ("noeviction", "0")
        assert Path(config["dir"]) == data


def test_it_ends_with_its_last_user_and_keeps_the_data(data: Path) -> None:
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        client.set("kept", "yes")
        process = process_of(server)
    assert not is_alive(process)
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        assert client.get("kept") == "yes"


def test_a_second_user_shares_the_server(data: Path) -> None:
    with PrivateRedis(Directory(data)) as first:
        process = process_of(first)
        with PrivateRedis(Directory(data)) as second:
            assert second.url == first.url
            assert process_of(second) == process
        assert is_alive(process), "the first still uses it"
    assert not is_alive(process)


def test_another_runtime_directory_adopts_all_the_same(data: Path, tmp_path: Path) -> None:
    with (
        PrivateRedis(Directory(data, tmp_path / "r1")) as first,
        PrivateRedis(Directory(data, tmp_path / "r2")) as second,
    ):
        assert process_of(first) == process_of(second)


def test_it_survives_the_kill_of_its_starter_and_is_adopted(data: Path) -> None:
    program = (
        "import sys, pathlib, signal\n"
        "from cellar.embedded.directory import Directory\n"
        "from cellar.embedded.server import PrivateRedis\n"
        "with PrivateRedis(Directory(pathlib.Path(sys.argv[1]))):\n"
        "    print('up', flush=True)\n"
        "    signal.pause()\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(data)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    with starter.stdout:
        assert starter.stdout.readline() == "up\n"
    with PrivateRedis(Directory(data)) as server:
        process = process_of(server)
        starter.kill()
        starter.wait()
        assert is_alive(process)
        assert process_of(server) == process
        assert not server.ensure(), "the lock lives as long as the server"
    wait_until(lambda: not is_alive(process), 10, "Redis has stopped")


def test_a_killed_server_is_started_again_with_its_data(data: Path) -> None:
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        client.set("kept", "yes")
        os.kill(process_of(server), signal.SIGKILL)
        wait_until(server.ensure, 10, "the lock is free")

        def kept() -> bool:
            try:
                return bool(client.get("kept") == "yes")
            except redis.ConnectionError:
                return False

        wait_until(kept, 10, "the new server has the data")


def test_a_server_that_loads_its_data_says_so_and_how_long_it_took(data: Path) -> None:
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        client.config_set("appendonly", "yes")
    with (data / "appendonly.aof").open("ab") as file:
        for number in range(300_000):
            file.write(b"*3\r\n$3\r\nSET\r\n$6\r\n%06d\r\n$40\r\n%040d\r\n" % (number, number))
    said: list[str] = []
    with PrivateRedis(Directory(data), say=said.append) as server, client_of(server) as client:

        def loaded() -> bool:
            """Do what the parent does again and again."""
            server.keep()
            return len(said) == 2

        wait_until(loaded, 20, "it has loaded its data")
        assert client.dbsize() == 300_000
    assert said[0] == "Redis is loading its data"
    assert re.fullmatch(r"Redis has loaded its data in \d+\.\d s", said[1])
    assert len(said) == 2


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    Directory(data)
    (data / "appendonly.aof").write_bytes(b"*2\r\n$9\r\nnonsense here")
    (data / "appendonly.aof").chmod(0o600)
    with pytest.raises(StartupError, match="Bad file format"), PrivateRedis(Directory(data)):
        pass
    (data / "appendonly.aof").unlink()


def test_a_copied_directory_has_a_server_of_its_own(data: Path, tmp_path: Path) -> None:
    with PrivateRedis(Directory(data)) as first, client_of(first) as original:
        original.set("at", "the copy")
        shutil.copytree(data, tmp_path / "copy")
        original.set("at", "the original")
        with PrivateRedis(Directory(tmp_path / "copy")) as second, client_of(second) as copied:
            assert second.url != first.url
            assert copied.get("at") == "the copy"
            copied.set("at", "the copy, later")
        assert original.get("at") == "the original"


def fill(client: "redis.Redis") -> None:
    for number in range(100):
        client.set(f"filling {number}", "x" * (1 << 20))


def test_its_memory_is_bounded_and_nothing_is_evicted(data: Path) -> None:
    with PrivateRedis(Directory(data)) as server, client_of(server) as client:
        assert client.config_get("maxmemory")["maxmemory"] == str(memory_bytes() // 2)
    with PrivateRedis(Directory(data), max_memory_bytes=4 << 20) as server, client_of(server) as client:
        client.set("first", "kept")
        with pytest.raises(redis.OutOfMemoryError):
            fill(client)
        assert client.get("first") == "kept"
