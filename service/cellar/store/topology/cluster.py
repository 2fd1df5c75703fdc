"""Routes commands in a Redis Cluster: one FIFO connection to each primary, and a map of which primary owns each slot.

The commands of a call are grouped by the primary that owns their key and sent in one write to each. A node that answers
MOVED or ASK has not applied the command: it is sent to the node that the reply names. The map is read again, beside the
traffic, whenever a reply shows that it is out of date; commands that fail meanwhile are retried by `RetryingClient`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from redis.crc import key_slot

from cellar.errors import StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.router import CommandReplies, ReplyCallback, Router, Wait
from cellar.store.protocol.errors import REPLY_TIMEOUT_S, lost, refusal_code
from cellar.store.protocol.resp import Command, EncodedCommand, Reply, ReplyError
from cellar.store.protocol.url import ClusterAddress
from cellar.store.topology.slot_map_reader import SlotMapReader
from cellar.store.topology.slots import NodeAddress, Redirect, SlotMap, slot_of

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 6
"""Redirects followed for one call: nodes that point at each other are left alone until the next try."""

ASKING: Command = (b"ASKING",)


class Cluster:
    """Implements `Router` for a cluster."""

    fails_over = True

    def __init__(
        self,
        address: ClusterAddress,
        *,
        probe: bytes | None = None,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._probe = probe
        self._like = address.seeds[0]
        self._reply_timeout_s = reply_timeout_s
        self._connections: dict[NodeAddress, RedisConnection] = {}
        self._slots = SlotMapReader(address, self._on_map)
        self._unmapped: list[tuple[Sequence[EncodedCommand], Callable[[int], bytes], ReplyCallback]] = []
        """Commands that were posted before there was a map."""
        self._redirects: set[asyncio.Task[None]] = set()

    async def send(
        self,
        commands: Sequence[Command],
        *,
        before: Sequence[Command] = (),
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,  # noqa: ARG002  # a transaction cannot have keys of several slots
    ) -> CommandReplies:
        """Send each command to the primary that owns its key; see `Router.send`."""
        call = _Call(commands, [slot_of(command) for command in commands], before, wait)
        try:
            slots = self._slots.map or await self._slots.read()
        except StoreUnavailable as error:
            call.fail(range(len(commands)), error)
            return call.outcome()
        if not in_order:
            await self._send(call, slots, range(len(commands)), {})
            return call.outcome()
        call.fail(range(len(commands)), lost("not_applied"))
        for index in range(len(commands)):
            await self._send(call, slots, [index], {})
            if isinstance(call.replies[index], StoreUnavailable | ReplyError):
                break
        return call.outcome()

    def post(self, commands: Sequence[EncodedCommand], key: Callable[[int], bytes], on_replies: ReplyCallback) -> None:
        """Send each command to the primary that owns its key; see `Router.post`."""
        slots = self._slots.map
        if slots is None:
            self._unmapped.append((commands, key, on_replies))
            return self._slots.refresh()
        call = _Call(commands, [key_slot(key(index)) for index in range(len(commands))])
        groups = self._groups(call, slots, range(len(commands)), {})
        for node, indices in groups.items():
            some = [commands[index] for index in indices]
            then = partial(self._on_replies, call, slots, node, indices, on_replies)
            self._connection(node).post(some, key, then, together=False)
        ownerless = [index for index, reply in enumerate(call.replies) if reply is not None]
        if ownerless:
            asyncio.get_running_loop().call_soon(on_replies, ownerless, [call.replies[index] for index in ownerless])
        return None

    def parts(self, count: int, key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:
        """Group the numbers of commands by the primary that owns their key; see `Router.parts`."""
        if self._slots.map is None:
            return [range(count)]
        owners: dict[NodeAddress | None, list[int]] = {}
        for index in range(count):
            owners.setdefault(self._slots.map.owners[key_slot(key(index))], []).append(index)
        return list(owners.values())

    async def primaries(self, key: bytes) -> list[tuple[Router, bytes]]:
        """Return the connection to each present primary and a key there. Raise StoreUnavailable if none is known."""
        slots = await self._slots.read()
        return [(self._connection(node), slots.key_at(node, key)) for node in slots.primaries()]

    def drop(self) -> None:
        """Read the map again."""
        self._slots.refresh()

    async def aclose(self) -> None:
        """Close every connection. Calls under way end with an unknown outcome."""
        await self._slots.aclose()
        await asyncio.gather(*[connection.aclose() for connection in self._connections.values()])
        if self._redirects:
            await asyncio.wait(self._redirects)

    def _on_map(self, found: SlotMap | StoreUnavailable) -> None:
        """Send commands that were posted before there was a map, or fail them. Forget connections to removed nodes."""
        posts, self._unmapped = self._unmapped, []
        if isinstance(found, StoreUnavailable):
            for commands, _, on_replies in posts:
                _report(on_replies, range(len(commands)), [found] * len(commands))
            return
        for commands, key, on_replies in posts:
            try:
                self.post(commands, key, on_replies)
            except Exception:  # a fault of this code: its callers still get replies
                logger.exception("%d commands were not sent", len(commands))
                _report(on_replies, range(len(commands)), [lost("unknown")] * len(commands))
        for node, connection in list(self._connections.items()):
            if node not in found.nodes and connection.closed:
                del self._connections[node]

    def _on_replies(
        self,
        call: "_Call",
        slots: SlotMap,
        node: NodeAddress,
        indices: Sequence[int],
        on_replies: ReplyCallback,
        _: Sequence[int],
        replies: Sequence[Reply | StoreUnavailable],
    ) -> None:
        """Report the replies of a node to posted commands, and send those that it redirects to where it points."""
        for index, reply in zip(indices, replies, strict=True):
            call.replies[index] = reply
        asked: dict[int, NodeAddress] = {}
        try:
            left = self._redirected(call, slots, {node: indices}, asked)
        except Exception:  # a redirect that cannot be read: the replies are reported as they are
            logger.exception("the replies of a Redis cluster node to %d commands were not understood", len(indices))
            left = []
        if not left:
            return on_replies(indices, [call.replies[index] for index in indices])
        task = asyncio.create_task(self._send(call, slots, left, asked))
        self._redirects.add(task)
        task.add_done_callback(partial(self._on_redirected, call, left, on_replies))
        answered = [index for index in indices if index not in left]
        if answered:
            on_replies(answered, [call.replies[index] for index in answered])
        return None

    def _on_redirected(
        self, call: "_Call", left: Sequence[int], on_replies: ReplyCallback, task: asyncio.Task[None]
    ) -> None:
        self._redirects.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a fault of this code: its callers still get replies
            logger.error("%d redirected commands were not sent", len(left), exc_info=error)
        if task.cancelled() or error is not None:
            call.fail(left, lost("unknown"))
        _report(on_replies, left, [call.replies[index] for index in left])

    def _groups(
        self, call: "_Call", slots: SlotMap, some: Iterable[int], asked: dict[int, NodeAddress]
    ) -> dict[NodeAddress, list[int]]:
        """Return which of the commands go to each node."""
        groups: dict[NodeAddress, list[int]] = {}
        for index in some:
            node = asked.get(index) or slots.owners[call.slots[index]]
            if node is None:
                call.fail([index], StoreUnavailable("no node of the Redis cluster has the slot"))
                self._slots.refresh()
            else:
                groups.setdefault(node, []).append(index)
        return groups

    async def _send(self, call: "_Call", slots: SlotMap, some: Iterable[int], asked: dict[int, NodeAddress]) -> None:
        """Send commands, follow redirects, and note the replies. `asked` has the nodes of those redirected by ASK."""
        left = list(some)
        for _ in range(MAX_REDIRECTS):
            groups = self._groups(call, slots, left, asked)
            sends = [call.send(self._connection(node), indices, asked) for node, indices in groups.items()]
            if len(sends) == 1:  # without the task that `gather` makes
                await sends[0]
            else:
                await asyncio.gather(*sends)
            left = self._redirected(call, slots, groups, asked)
            if not left:
                return
        call.fail(left, StoreUnavailable("the nodes of the Redis cluster point at each other"))

    def _redirected(
        self, call: "_Call", slots: SlotMap, groups: Mapping[NodeAddress, Sequence[int]], asked: dict[int, NodeAddress]
    ) -> list[int]:
        """Return the commands that a node has redirected; note in `slots` and `asked` where they go."""
        left = []
        for node, indices in groups.items():
            for index in indices:
                reply = call.replies[index]
                if isinstance(reply, StoreUnavailable):
                    self._slots.suspect(node)
                    self._slots.refresh()
                elif isinstance(reply, ReplyError):
                    asked.pop(index, None)
                    redirect = Redirect.parse(reply, node)
                    if redirect is None:
                        if refusal_code(str(reply)) in ("CLUSTERDOWN", "READONLY"):
                            self._slots.refresh()
                        continue
                    left.append(index)
                    if redirect.kind == "ASK":
                        asked[index] = redirect.node
                    else:
                        slots.owners[redirect.slot] = redirect.node
                        self._slots.refresh()
        return left

    def _connection(self, node: NodeAddress) -> RedisConnection:
        connection = self._connections.get(node)
        if connection is None:
            slots, probe = self._slots.map, None
            if self._probe is not None and slots is not None and node in slots.nodes:
                probe = slots.key_at(node, self._probe)
            connection = self._connections[node] = RedisConnection(
                self._like.at(*node),
                probe=probe,
                reply_timeout_s=self._reply_timeout_s,
            )
        return connection


def _report(on_replies: ReplyCallback, part: Sequence[int], replies: "Sequence[Reply | StoreUnavailable]") -> None:
    """Report replies. An exception of the callback is logged: other callbacks must still be called."""
    try:
        on_replies(part, replies)
    except Exception:
        logger.exception("the replies to %d commands were not taken", len(part))


class _Call:
    """The commands of one call and their replies so far."""

    def __init__(
        self,
        commands: Sequence[Command | EncodedCommand],
        slots: Sequence[int],
        before: Sequence[Command] = (),
        wait: Wait | None = None,
    ) -> None:
        self.commands = commands
        self.slots = slots
        self.replies: list[Reply | StoreUnavailable] = [None] * len(commands)
        self._before = before
        self._wait = wait
        self._copies = [0] * len(commands)

    def fail(self, indices: Iterable[int], error: StoreUnavailable) -> None:
        """Set the outcome of some commands to an error."""
        for index in indices:
            self.replies[index] = error

    async def send(self, connection: RedisConnection, indices: Sequence[int], asked: dict[int, NodeAddress]) -> None:
        """Send some of the commands to one node in one write, and note its replies."""
        sent: list[Command | EncodedCommand] = []
        for index in indices:
            if index in asked:
                sent.append(ASKING)
            sent.append(self.commands[index])
        replies, copies = await connection.send(sent, before=self._before, wait=self._wait)
        at = 0
        for index in indices:
            at += index in asked
            self.replies[index] = replies[at]
            self._copies[index] = copies[at] if copies else 0
            at += 1

    def outcome(self) -> CommandReplies:
        """Return the replies to the commands."""
        return CommandReplies(self.replies, self._copies if self._wait else ())
