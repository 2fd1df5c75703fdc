"""Slots of a Redis Cluster: the slot of a command, the map from slots to nodes, and redirects. Pure functions."""

from dataclasses import dataclass
from typing import Literal, Self

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from cellar.errors import StoreCorrupt
from cellar.store.protocol.resp import Command, Reply, ReplyError, items

NodeAddress = tuple[str, int]
"""Host and port."""


def slot_of(command: Command) -> int:
    """Return the slot of the keys of a command, which must share one slot: its first argument, or a script's keys."""
    return key_slot(command[3] if command[0] == b"EVALSHA" else command[1])


@dataclass(slots=True)
class SlotMap:
    """The primary that owns each slot, and all nodes."""

    owners: list[NodeAddress | None]
    nodes: set[NodeAddress]

    @classmethod
    def parse(cls, reply: Reply, asked: NodeAddress) -> Self:
        """Parse the reply to CLUSTER SLOTS; a missing host is the node that was asked. Raise StoreCorrupt."""
        owners: list[NodeAddress | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes: set[NodeAddress] = set()
        for part in items(reply):
            match items(part):
                case [int(first), int(last), *servers] if servers:
                    here = [_node(server, asked) for server in servers]
                    nodes.update(here)
                    owners[first : last + 1] = [here[0]] * (last + 1 - first)
                case _:
                    raise StoreCorrupt("a Redis node tells no slots of a cluster")
        return cls(owners, nodes)

    def primaries(self) -> list[NodeAddress]:
        """Return the nodes that own slots, sorted by host and port."""
        return sorted({owner for owner in self.owners if owner is not None})

    def key_at(self, node: NodeAddress, key: bytes) -> bytes:
        """Return a key on this primary: `key` with a number appended."""
        count = 0
        while self.owners[key_slot(name := b"%s:%d" % (key, count))] != node:
            count += 1
        return name


@dataclass(frozen=True, slots=True)
class Redirect:
    """An error reply that names another node: for good (MOVED) or for this command (ASK). Nothing was applied."""

    kind: Literal["MOVED", "ASK"]
    slot: int
    node: NodeAddress

    @classmethod
    def parse(cls, reply: object, asked: NodeAddress) -> Self | None:
        """Parse `MOVED 3999 127.0.0.1:6381` or `ASK ...`; return None for any other reply."""
        if not isinstance(reply, ReplyError):
            return None
        kind, *rest = str(reply).split(" ")
        if len(rest) != 2 or kind not in ("MOVED", "ASK"):
            return None
        host, _, port = rest[1].rpartition(":")
        return cls("MOVED" if kind == "MOVED" else "ASK", int(rest[0]), (host or asked[0], int(port)))


def _node(server: object, asked: NodeAddress) -> NodeAddress:
    match items(server):
        case [b"" | b"?" | None, int(port), *_]:
            return asked[0], port
        case [bytes(host), int(port), *_]:
            return host.decode(), port
    raise StoreCorrupt("a Redis node tells no slots of a cluster")
