"""A primary with a replica, and a sentinel that watches them."""

import shutil
import tempfile
from pathlib import Path

from tests.ports import free_port
from tests.redis_node import RedisNode
from tests.waiting import wait_until

SERVICE = "main"
OPTIONS = ("--save", "", "--repl-diskless-sync-delay", "0", "--appendonly", "yes", "--appendfsync", "always")


class RedisSentinel:
    """Two servers and a sentinel, of which the URL names a second one that is away."""

    def __init__(self, binary: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cellar-test-", dir="/tmp"))
        self.primary = RedisNode(binary, self.directory / "a", *OPTIONS)
        self.replica = RedisNode(binary, self.directory / "b", *OPTIONS)
        self._settings = self.directory / "sentinel.conf"
        self.sentinel = RedisNode(binary, self.directory / "s", str(self._settings), "--sentinel")
        self.url = ""

    def start(self) -> None:
        """Start them, and wait until the sentinel knows the replica."""
        self.primary.start()
        self.replica.start("--replicaof", "127.0.0.1", str(self.primary.port))
        self._settings.write_text(
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} 1\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 5000\n"
        )
        self.sentinel.start()
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.sentinel.port}/{SERVICE}"
        wait_until(self._is_ready, 20, "the replica is known")

    def fail_over(self) -> None:
        """Kill the primary, wait until the replica has taken over, and let the killed one come back as its replica."""
        old, new = self.primary, self.replica
        old.kill()
        wait_until(lambda: new.info("role") == "master", 30, "the replica takes over")
        self.primary, self.replica = new, old
        old.start("--replicaof", "127.0.0.1", str(new.port))  # as it would be told in a while
        wait_until(self._is_ready, 30, "the killed one is a replica")

    def close(self) -> None:
        """End all of them and forget the data."""
        for node in (self.sentinel, self.primary, self.replica):
            if node.alive:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _is_ready(self) -> bool:
        if self.replica.info("role") != "slave" or self.replica.info("master_link_status") != "up":
            return False
        fields = self.sentinel("SENTINEL", "MASTER", SERVICE)
        told = dict(zip(fields[::2], fields[1::2], strict=True))
        return bool(told[b"num-slaves"] == b"1" and told[b"port"] == b"%d" % self.primary.port)
