"""Starts a Redis like the private one of `cellar serve`, with temporary data."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import redis

from benchmarks.serving.processes import Process
from cellar.embedded.binary import choose_binary
from cellar.embedded.server import OPTIONS

READY_S = 20.0

GROWTH, AT_ONCE = "growth", 1_000
"""A key that makes the hash tables grow, and the number of keys that are looked up by one command."""

Fsync = Literal["always", "everysec"]


class RedisServer:
    """A Redis on a unix socket, on a core. A context manager."""

    def __init__(self, core: int, directory: Path | None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cellar-bench-", dir=directory))
        self.socket = self.directory / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self.binary = choose_binary(None)
        options = {"--unixsocket": str(self.socket), "--dir": str(self.directory), "--logfile": "redis.log", **OPTIONS}
        words = [word for option in options.items() for word in option]
        self.process = Process([str(self.binary.path), *words], {core})

    def __enter__(self) -> Self:
        """Wait until it answers."""
        end_s = time.monotonic() + READY_S
        while not self._answers():
            if time.monotonic() > end_s or self.process.popen.poll() is not None:
                self.__exit__(None, None, None)
                raise RuntimeError(f"Redis does not answer: {self.binary.path}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, and remove its data."""
        self.process.__exit__(kind, error, trace)
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self) -> "redis.Redis":
        """Return a client; use it in a `with`."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2)

    def set_fsync(self, policy: Fsync) -> None:
        """Set when the append-only file is synced to the disk."""
        with self.client() as client:
            client.config_set("appendfsync", policy)

    def finish_growth(self, keys: Sequence[bytes]) -> None:
        """Let Redis end the work that creating these keys has left: a rewrite of its file, then larger hash tables.

        A table does not grow during a rewrite, and afterwards each look-up moves a bucket to the larger one.
        """
        with self.client() as client:
            while any(client.info("persistence")[f"aof_rewrite_{state}"] for state in ("in_progress", "scheduled")):
                time.sleep(0.1)
            client.set(GROWTH, "")  # a table grows when something is added
            for first in range(0, len(keys), AT_ONCE):
                client.exists(*keys[first : first + AT_ONCE])
            client.delete(GROWTH)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
            return bool(client.ping())
        return False
