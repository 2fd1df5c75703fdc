"""A Redis of one's own: to be killed, stopped, filled up and started again by the test that has it."""

import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import redis

from tests.waiting import wait_until


class RedisProcess:
    """One server on a unix socket, AOF always unless told otherwise; its data outlives a kill."""

    def __init__(self, binary: Path, *options: str) -> None:
        self._binary = binary
        self._options = options
        self.directory = Path(tempfile.mkdtemp(prefix="cellar-test-", dir="/tmp"))
        self.socket = self.directory / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        fixed = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.directory), "--save", ""]
        fixed += ["--appendonly", "yes", "--appendfsync", "always", "--logfile", "redis.log"]
        self._process = subprocess.Popen([str(self._binary), *fixed, *self._options, *options])
        if wait:
            wait_until(self._answers, 10, "Redis answers")

    def client(self) -> "redis.Redis":
        """Return a client; use it in a `with`."""
        return redis.Redis(unix_socket_path=str(self.socket), protocol=2)

    def kill(self) -> None:
        """Kill it: SIGKILL, no goodbye."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(timeout=10)
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def close(self) -> None:
        """End it and forget its data."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "redis.log").read_text()
        with suppress(redis.ConnectionError), self.client() as client:
            return bool(client.ping())
        return False
