"""A Redis Cluster of one's own on loopback: three primaries, a replica of the first, and a newcomer."""

import shutil
import tempfile
from itertools import combinations
from pathlib import Path

from tests.redis_node import RedisNode
from tests.waiting import wait_until

SLOTS = 16384
PRIMARIES = 3
BUS = 10_000
"""How far behind its port a node talks with the others."""

OPTIONS = ["--cluster-enabled", "yes", "--cluster-replica-validity-factor", "0", "--save", ""]
OPTIONS += ["--cluster-allow-replica-migration", "no", "--repl-diskless-sync-delay", "0"]


class RedisCluster:
    """The nodes. Each primary owns a third of the slots; `replica` follows `primaries[0]`; `newcomer` owns nothing."""

    def __init__(self, binary: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="cellar-test-", dir="/tmp"))
        self.nodes = [
            RedisNode(binary, self.directory / str(number), *OPTIONS, also=BUS) for number in range(PRIMARIES + 2)
        ]
        self.primaries = self.nodes[:PRIMARIES]
        self.replica, self.newcomer = self.nodes[PRIMARIES:]
        self.ids: dict[int, str] = {}
        self.url = ""

    def start(self) -> None:
        """Start the nodes and wait until they are a cluster."""
        for node in self.nodes:
            node.start()
        self.ids = {node.port: node("CLUSTER", "MYID").decode() for node in self.nodes}
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.primaries)
        self._join()

    def owner(self, slot: int) -> RedisNode:
        """Return the node that the first living one takes for the owner of a slot."""
        asked = next(node for node in self.nodes if node.alive)
        for first, last, primary, *_ in asked("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"no node owns slot {slot}")

    def migrate(self, slot: int, target: RedisNode) -> "Migration":
        """Begin to move a slot to another primary."""
        return Migration(self, slot, self.owner(slot), target)

    def fail_over(self) -> None:
        """Kill the first primary, wait until its replica has taken over, and let it come back as replica of that."""
        old, new = self.primaries[0], self.replica
        for node in self.nodes:
            node("CONFIG", "SET", "cluster-node-timeout", 1000)
        old.kill()
        wait_until(lambda: new.info("role") == "master" and self._is_up(), 30, "the replica takes over")
        self.primaries[0], self.replica = new, old
        for node in self.nodes:
            if node.alive:
                node("CONFIG", "SET", "cluster-node-timeout", 15_000)
        old.start()
        wait_until(self._is_ready, 30, "the killed one is a replica")

    def close(self) -> None:
        """End every node and forget the data."""
        for node in self.nodes:
            if node.alive:
                node.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _join(self) -> None:
        for number, node in enumerate(self.primaries):
            node("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node("CLUSTER", "ADDSLOTS", *range(number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES))
        for one, other in combinations(self.nodes, 2):  # sooner than gossip
            one("CLUSTER", "MEET", "127.0.0.1", other.port)
        wait_until(self._know_each_other, 20, "the nodes know each other")
        self.replica("CLUSTER", "REPLICATE", self.ids[self.primaries[0].port])
        wait_until(self._is_ready, 20, "the cluster is ready")

    def _know_each_other(self) -> bool:
        views = [node("CLUSTER", "NODES").decode() for node in self.nodes]
        return all("handshake" not in view and all(name in view for name in self.ids.values()) for view in views)

    def _is_ready(self) -> bool:
        if self.replica.info("role") != "slave" or self.replica.info("master_link_status") != "up":
            return False
        return self._is_up()

    def _is_up(self) -> bool:
        return all(b"cluster_state:ok" in node("CLUSTER", "INFO") for node in self.nodes if node.alive)


class Migration:
    """A slot on its way: while it lasts, keys are on both nodes, and both send clients to the other for some."""

    def __init__(self, cluster: RedisCluster, slot: int, source: RedisNode, target: RedisNode) -> None:
        self._cluster = cluster
        self._slot = slot
        self.source = source
        self.target = target
        target("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[source.port])
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.ids[target.port])

    def move(self, count: int) -> int:
        """Move up to so many keys, one by one, and return how many were left to move before."""
        keys = self.source("CLUSTER", "GETKEYSINSLOT", self._slot, count)
        for key in keys:
            self.source("MIGRATE", "127.0.0.1", self.target.port, key, 0, 5000)
        return len(keys)

    def end(self) -> None:
        """Move what is left and give the slot to the target."""
        while self.move(100):
            pass
        for node in (self.target, self.source, *self._cluster.primaries):
            node("CLUSTER", "SETSLOT", self._slot, "NODE", self._cluster.ids[self.target.port])
