"""A private Redis that ends is started again, with pauses, and with its reason in the log."""

import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from cellar.embedded.directory import Directory
from cellar.embedded.processes import UPKEEP_BACKOFF_S, Upkeep
from cellar.embedded.server import PrivateRedis
from tests.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    with PrivateRedis(Directory(tmp_path / "data")) as server:
        yield server


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let this process and those that it starts write no file beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def kill(server: PrivateRedis) -> None:
    with redis.Redis.from_url(server.url) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    wait_until(lambda: not server.is_running(), 10, "the server has ended")


def answers(server: PrivateRedis) -> bool:
    try:
        with redis.Redis.from_url(server.url) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def test_a_killed_server_is_started_again(server: PrivateRedis) -> None:
    upkeep, now_s = Upkeep(server.keep), 0.0
    kill(server)
    upkeep.run(now_s)
    assert not server.is_running(), "not before its pause"
    now_s += UPKEEP_BACKOFF_S[0]
    upkeep.run(now_s)
    wait_until(lambda: answers(server), 10, "it answers again")


def test_a_full_disk_is_waited_for(server: PrivateRedis, caplog: pytest.LogCaptureFixture) -> None:
    upkeep, now_s = Upkeep(server.keep), 0.0
    kill(server)
    with no_file_above(64 * 1024):
        for _ in range(20):
            upkeep.run(now_s)
            now_s += UPKEEP_BACKOFF_S[1]
        assert not server.is_running()
    upkeep.run(now_s)
    wait_until(lambda: answers(server), 10, "it goes on where there is room again")
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert sum("make room there" in text for text in told) == 1, told


def test_a_server_that_cannot_start_is_tried_with_pauses_and_says_why(
    server: PrivateRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep, now_s = Upkeep(server.keep), 0.0
    kill(server)
    file = next(path for path in (tmp_path / "data").rglob("*.aof") if path.is_file())
    whole = file.read_bytes()
    file.write_bytes(b"*2\r\n$9\r\nnonsense here")
    with caplog.at_level(logging.INFO):
        for _ in range(100):  # ten seconds of looks, ten a second
            upkeep.run(now_s)
            wait_until(lambda: not server.is_running(), 10, "it has ended")
            now_s += 0.1
    starts = [record for record in caplog.records if record.getMessage().startswith("starting ")]
    assert 3 <= len(starts) <= 9, len(starts)
    assert sum("Bad file format" in record.getMessage() for record in caplog.records) == 1
    file.write_bytes(whole)
    now_s += UPKEEP_BACKOFF_S[1]
    upkeep.run(now_s)
    wait_until(lambda: answers(server), 10, "it goes on with a whole file")
