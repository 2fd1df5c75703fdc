"""The slots of a Redis cluster: where a command's key lies, who owns what, and what a node says about it."""

from dataclasses import dataclass
from typing import Literal, Self

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from cellar.errors import StoreCorrupt
from cellar.store.protocol.replies import items
from cellar.store.protocol.resp import Command, Reply, ReplyError

Node = tuple[str, int]
"""Host and port."""

_KEY_AT = {b"EVALSHA": 3, b"EVAL": 3, b"XINFO": 2, b"OBJECT": 2, b"MEMORY": 2, b"XGROUP": 2}
"""Where the first key stands, if not right behind the name."""


def slot_of(command: Command) -> int:
    """Return the slot of the command's key: all its keys share one. Commands without a key are none of a slot's."""
    name = command[0]
    at = command.index(b"STREAMS") + 1 if name in (b"XREAD", b"XREADGROUP") else _KEY_AT.get(name, 1)
    return key_slot(command[at])


@dataclass(slots=True)
class SlotMap:
    """Which primary owns each slot, and every node there is."""

    owners: list[Node | None]
    nodes: set[Node]

    @classmethod
    def parse(cls, reply: Reply, asked: Node) -> Self:
        """Read the reply to CLUSTER SLOTS. A host that a node does not know is the one that was asked.

        Raise StoreCorrupt for what is no such reply.
        """
        owners: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        nodes: set[Node] = set()
        for part in items(reply):
            match items(part):
                case [int(first), int(last), *servers] if servers:
                    here = [_node(server, asked) for server in servers]
                    nodes.update(here)
                    owners[first : last + 1] = [here[0]] * (last + 1 - first)
                case _:
                    raise StoreCorrupt("a Redis node tells no slots of a cluster")
        return cls(owners, nodes)

    def primaries(self) -> list[Node]:
        """Return the nodes that own slots, in order of host and port."""
        return sorted({owner for owner in self.owners if owner is not None})

    def key_at(self, node: Node, key: bytes) -> bytes:
        """Return a key that begins like `key`, plus a number, and lies on this primary."""
        count = 0
        while self.owners[key_slot(name := b"%s:%d" % (key, count))] != node:
            count += 1
        return name


@dataclass(frozen=True, slots=True)
class Redirect:
    """A node's answer that the key lies elsewhere: for good (MOVED), or this once (ASK). It has applied nothing."""

    kind: Literal["MOVED", "ASK"]
    slot: int
    node: Node

    @classmethod
    def parse(cls, reply: object, asked: Node) -> Self | None:
        """Read `MOVED 3999 127.0.0.1:6381`, `ASK ...`; None for any other answer."""
        if not isinstance(reply, ReplyError):
            return None
        kind, *rest = str(reply).split(" ")
        if len(rest) != 2 or kind not in ("MOVED", "ASK"):
            return None
        host, _, port = rest[1].rpartition(":")
        return cls("MOVED" if kind == "MOVED" else "ASK", int(rest[0]), (host or asked[0], int(port)))


def _node(server: object, asked: Node) -> Node:
    match items(server):
        case [b"" | b"?" | None, int(port), *_]:
            return asked[0], port
        case [bytes(host), int(port), *_]:
            return host.decode(), port
    raise StoreCorrupt("a Redis node tells no slots of a cluster")
