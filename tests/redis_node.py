"""A Redis on a TCP port of loopback: what clusters and sentinels are made of."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis

from tests.ports import free_port
from tests.waiting import wait_until


class RedisNode:
    """One server; its port is known when it has been started."""

    def __init__(self, binary: Path, directory: Path, *options: str, also: int = 0) -> None:
        self._command = [str(binary), *options, "--bind", "127.0.0.1", "--logfile", "redis.log"]
        self._directory = directory
        self._also = also
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self._trying = 0

    def start(self, *options: str) -> None:
        """Start it, on the port that it had; the first time on a free one, with the one `also` behind it."""
        self._directory.mkdir(exist_ok=True)
        wait_until(lambda: self._started(*options), 10, "a Redis answers")

    def _started(self, *options: str) -> bool:
        if self._process is None or self._process.poll() is not None:
            self._trying = self.port or free_port(self._also)
            self._process = subprocess.Popen(
                [*self._command, "--port", str(self._trying), *options], cwd=self._directory
            )
        with suppress(redis.ConnectionError), redis.Redis(port=self._trying, protocol=2) as client:
            if client.info("server")["process_id"] == self._process.pid:
                self.port = self._trying
                return True
        return False

    def __call__(self, *command: object) -> Any:
        """Return its reply to one command."""
        with redis.Redis(port=self.port, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def info(self, name: str) -> str:
        """Return a line of its INFO."""
        lines: list[str] = self("INFO").decode().split("\r\n")
        return next(line.partition(":")[2] for line in lines if line.startswith(f"{name}:"))

    def kill(self) -> None:
        """Kill it: SIGKILL, no goodbye."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=10)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    @contextmanager
    def hangs(self) -> Iterator[None]:
        """Let it take nothing meanwhile, and send no answer."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None
