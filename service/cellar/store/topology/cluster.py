"""A Redis Cluster: one FIFO link to each primary, and a map of who owns which slot.

Commands of a call are parted by the primary that owns their key and sent in one write to each. A node that answers
MOVED or ASK has not applied the command: it is asked where the node says. The map is read anew, beside the traffic,
whenever something did not go as it says; who has a command that must not fail meanwhile tries again (`retry.py`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from redis.crc import key_slot

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.connection.router import Replies, Router, Told, Wait
from cellar.store.protocol.errors import REPLY_TIMEOUT_S, lost, refusal_code
from cellar.store.protocol.resp import Command, Packed, Reply, ReplyError
from cellar.store.protocol.url import ClusterAddress
from cellar.store.topology.slots import Node, Redirect, SlotMap, slot_of

logger = logging.getLogger(__name__)

HOPS = 6
"""Redirections followed for one call: nodes that disagree are left alone until the next try."""

ASK_AGAIN_S = 0.05
"""Least time between two looks at the map: a node answers one in a millisecond, and many slots may move at once."""

MAP_TIMEOUT_S = 1.0
"""A node that does not tell the map in this time is passed over for the next."""

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
        self._seeds = [(seed.host, seed.port) for seed in address.seeds]
        self._like = address.seeds[0]
        self._reply_timeout_s = reply_timeout_s
        self._links: dict[Node, RedisConnection] = {}
        self._map: SlotMap | None = None
        self._looking: asyncio.Task[SlotMap] | None = None
        self._looked_s = float("-inf")
        self._silent: set[Node] = set()
        self._unmapped: list[tuple[Sequence[Packed], Callable[[int], bytes], Told]] = []
        self._following: set[asyncio.Task[None]] = set()

    async def tell(
        self,
        commands: Sequence[Command],
        *,
        before: Sequence[Command] = (),
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,  # noqa: ARG002  # a transaction may not have keys of several slots
    ) -> Replies:
        """Send each command to the primary that owns its key; see `Router.tell`."""
        call = _Call(commands, [slot_of(command) for command in commands], before, wait)
        try:
            slots = self._map or await self._look()
        except StoreUnavailable as error:
            call.fail(range(len(commands)), error)
            return call.told()
        if not in_order:
            await self._follow(call, slots, range(len(commands)), {})
            return call.told()
        call.fail(range(len(commands)), lost("not_applied"))
        for index in range(len(commands)):
            await self._follow(call, slots, [index], {})
            if isinstance(call.replies[index], StoreUnavailable | ReplyError):
                break
        return call.told()

    def post(self, commands: Sequence[Packed], key: Callable[[int], bytes], told: Told) -> None:
        """Send each command to the primary that owns its key; see `Router.post`."""
        if self._map is None:
            self._unmapped.append((commands, key, told))
            return self._look_soon()
        call = _Call(commands, [key_slot(key(index)) for index in range(len(commands))])
        groups = self._groups(call, self._map, range(len(commands)), {})
        for node, indices in groups.items():
            some = [commands[index] for index in indices]
            part = partial(self._part, call, self._map, node, indices, told)
            self._link(node).post(some, key, part, together=False)
        nobodys = [index for index, reply in enumerate(call.replies) if reply is not None]
        if nobodys:
            asyncio.get_running_loop().call_soon(told, nobodys, [call.replies[index] for index in nobodys])
        return None

    def parts(self, count: int, key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:
        """Return which of so many commands go to the same primary; see `Router.parts`."""
        if self._map is None:
            return [range(count)]
        owners: dict[Node | None, list[int]] = {}
        for index in range(count):
            owners.setdefault(self._map.owners[key_slot(key(index))], []).append(index)
        return list(owners.values())

    def _part(
        self,
        call: "_Call",
        slots: SlotMap,
        node: Node,
        indices: Sequence[int],
        told: Told,
        _: Sequence[int],
        replies: Sequence[Reply | StoreUnavailable] | None,
    ) -> None:
        """Tell what a node has answered, and follow where it points for some of the commands."""
        if replies is None:
            return told(indices, None)
        for index, reply in zip(indices, replies, strict=True):
            call.replies[index] = reply
        asked: dict[int, Node] = {}
        try:
            left = self._redirected(call, slots, {node: indices}, asked)
        except Exception:  # a node that points nowhere: what it has said stands as it is
            logger.exception("what a node of the Redis cluster said of %d commands was not understood", len(indices))
            left = []
        if not left:
            return told(indices, [call.replies[index] for index in indices])
        task = asyncio.create_task(self._follow(call, slots, left, asked))
        self._following.add(task)
        task.add_done_callback(partial(self._followed, call, left, told))
        there = [index for index in indices if index not in left]
        if there:
            told(there, [call.replies[index] for index in there])
        return None

    def _followed(self, call: "_Call", left: Sequence[int], told: Told, task: asyncio.Task[None]) -> None:
        self._following.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:  # a fault of our own: whoever waits is told at least that
            logger.error("%d commands were not followed to where nodes point", len(left), exc_info=error)
        if task.cancelled() or error is not None:
            call.fail(left, lost("unknown"))
        _tell(told, left, [call.replies[index] for index in left])

    async def primaries(self, key: bytes) -> list[tuple[Router, bytes]]:
        """Return the link to each present primary and a key there. Raise StoreUnavailable if no node tells them."""
        slots = await self._look()
        return [(self._link(node), slots.key_at(node, key)) for node in slots.primaries()]

    def drop(self) -> None:
        """Read the map anew."""
        self._look_soon()

    async def aclose(self) -> None:
        """Close every link. Calls under way end with an unknown outcome."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await asyncio.gather(*[link.aclose() for link in self._links.values()])
        if self._following:
            await asyncio.wait(self._following)

    def _groups(
        self, call: "_Call", slots: SlotMap, some: Iterable[int], asked: dict[int, Node]
    ) -> dict[Node, list[int]]:
        """Return which of the commands each node gets."""
        groups: dict[Node, list[int]] = {}
        for index in some:
            node = asked.get(index) or slots.owners[call.slots[index]]
            if node is None:
                call.fail([index], StoreUnavailable("no node of the Redis cluster has the slot"))
                self._look_soon()
            else:
                groups.setdefault(node, []).append(index)
        return groups

    async def _follow(self, call: "_Call", slots: SlotMap, some: Iterable[int], asked: dict[int, Node]) -> None:
        """Send some of the commands, follow where the nodes point, and note what became of each.

        `asked` says for which of them a node has pointed somewhere this once.
        """
        left = list(some)
        for _ in range(HOPS):
            groups = self._groups(call, slots, left, asked)
            await self._send(call, groups, asked)
            left = self._redirected(call, slots, groups, asked)
            if not left:
                return
        call.fail(left, StoreUnavailable("the nodes of the Redis cluster point at each other"))

    async def _send(self, call: "_Call", groups: dict[Node, list[int]], asked: dict[int, Node]) -> None:
        """Send each node its commands, all nodes at once."""
        if len(groups) == 1:  # spare the tasks
            ((node, indices),) = groups.items()
            await call.send(self._link(node), indices, asked)
        else:
            await asyncio.gather(*[call.send(self._link(node), some, asked) for node, some in groups.items()])

    def _redirected(
        self, call: "_Call", slots: SlotMap, groups: Mapping[Node, Sequence[int]], asked: dict[int, Node]
    ) -> list[int]:
        """Return the commands that a node has pointed elsewhere, and learn from all that went wrong."""
        left = []
        for node, indices in groups.items():
            for index in indices:
                reply = call.replies[index]
                if isinstance(reply, StoreUnavailable):
                    self._silent.add(node)
                    self._look_soon()
                elif isinstance(reply, ReplyError):
                    asked.pop(index, None)
                    redirect = Redirect.parse(reply, node)
                    if redirect is None:
                        if refusal_code(str(reply)) in ("CLUSTERDOWN", "READONLY"):
                            self._look_soon()
                        continue
                    left.append(index)
                    if redirect.kind == "ASK":
                        asked[index] = redirect.node
                    else:
                        slots.owners[redirect.slot] = redirect.node
                        self._look_soon()
        return left

    def _link(self, node: Node) -> RedisConnection:
        link = self._links.get(node)
        if link is None:
            slots, probe = self._map, None
            if self._probe is not None and slots is not None and node in slots.nodes:
                probe = slots.key_at(node, self._probe)
            link = self._links[node] = RedisConnection(
                self._like.at(*node),
                probe=probe,
                reply_timeout_s=self._reply_timeout_s,
            )
        return link

    # --- the map ---

    def _look_soon(self) -> None:
        """Read the map beside the traffic, unless somebody does."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._read_map(), name="slots of the Redis cluster")
            self._looking.add_done_callback(self._look_done)

    async def _look(self) -> SlotMap:
        """Read the map. All who wait for it wait for the same reading. Raise StoreUnavailable."""
        self._look_soon()
        assert self._looking is not None
        return await asyncio.shield(self._looking)

    def _look_done(self, task: asyncio.Task[SlotMap]) -> None:
        self._looking = None
        self._looked_s = asyncio.get_running_loop().time()
        posts, self._unmapped = self._unmapped, []
        failure = lost("not_applied") if task.cancelled() else task.exception()
        if failure is not None:
            why = failure if isinstance(failure, StoreUnavailable) else lost("not_applied")
            for commands, _, told in posts:
                _tell(told, range(len(commands)), [why] * len(commands))
            return
        self._map = task.result()
        for commands, key, told in posts:
            try:
                self.post(commands, key, told)
            except Exception:  # a fault of our own: whoever waits is told at least that
                logger.exception("%d commands were not sent", len(commands))
                _tell(told, range(len(commands)), [lost("unknown")] * len(commands))
        self._silent.clear()
        for node, link in list(self._links.items()):
            if node not in self._map.nodes and link.closed:
                del self._links[node]

    async def _read_map(self) -> SlotMap:
        """Ask one node after the other, those that were silent last."""
        await asyncio.sleep(self._looked_s + ASK_AGAIN_S - asyncio.get_running_loop().time())
        known = sorted(self._map.nodes if self._map else ()) + self._seeds
        failure: CellarError = lost("not_applied")
        for node in sorted(dict.fromkeys(known), key=lambda node: node in self._silent):
            try:
                return await self._ask_map(node)
            except CellarError as error:
                failure = error
                self._silent.add(node)
        raise StoreUnavailable(failure.detail)

    async def _ask_map(self, node: Node) -> SlotMap:
        link = RedisConnection(self._like.at(*node), connect_timeout_s=MAP_TIMEOUT_S, reply_timeout_s=MAP_TIMEOUT_S)
        try:
            [reply] = await link.call([(b"CLUSTER", b"SLOTS")])
        finally:
            await link.aclose()
        if isinstance(reply, ReplyError):
            raise StoreUnavailable(f"{node[0]}:{node[1]} tells nothing of a Redis cluster: {reply}")
        return SlotMap.parse(reply, node)


def _tell(told: Told, part: Sequence[int], replies: "Sequence[Reply | StoreUnavailable]") -> None:
    """Say what became of some commands. What is raised is logged: others wait to be told as well."""
    try:
        told(part, replies)
    except Exception:
        logger.exception("the replies to %d commands were not taken", len(part))


class _Call:
    """The commands of one call and what has become of them so far."""

    def __init__(
        self,
        commands: Sequence[Command | Packed],
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
        """Note that some commands have not been sent."""
        for index in indices:
            self.replies[index] = error

    async def send(self, link: RedisConnection, indices: Sequence[int], asked: dict[int, Node]) -> None:
        """Send one node some of the commands in one write, and note what it says."""
        sent: list[Command | Packed] = []
        for index in indices:
            if index in asked:
                sent.append(ASKING)
            sent.append(self.commands[index])
        replies, copies = await link.tell(sent, before=self._before, wait=self._wait)
        at = 0
        for index in indices:
            at += index in asked
            self.replies[index] = replies[at]
            self._copies[index] = copies[at] if copies else 0
            at += 1

    def told(self) -> Replies:
        """Return what became of the commands."""
        return Replies(self.replies, self._copies if self._wait else ())
