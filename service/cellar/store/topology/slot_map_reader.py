"""Reads the slot map of a Redis Cluster from its nodes, beside the traffic and one reading at a time."""

import asyncio
from collections.abc import Callable

from cellar.errors import CellarError, StoreUnavailable
from cellar.store.connection.connection import RedisConnection
from cellar.store.protocol.errors import lost
from cellar.store.protocol.resp import ReplyError
from cellar.store.protocol.url import ClusterAddress
from cellar.store.topology.slots import NodeAddress, SlotMap

READ_INTERVAL_S = 0.05
"""Least time between two readings: a node answers in a millisecond, and many slots may move at once."""

NODE_TIMEOUT_S = 1.0
"""A node that does not send the map in this time is passed over for the next."""


class SlotMapReader:
    """Keeps the newest slot map. `on_read` is called with each map, or the reason why there is none."""

    def __init__(self, address: ClusterAddress, on_read: Callable[[SlotMap | StoreUnavailable], None]) -> None:
        self.map: SlotMap | None = None
        """The newest map, None before the first reading."""
        self._seeds = [(seed.host, seed.port) for seed in address.seeds]
        self._like = address.seeds[0]
        self._on_read = on_read
        self._reading: asyncio.Task[SlotMap] | None = None
        self._read_s = float("-inf")
        self._silent: set[NodeAddress] = set()

    def refresh(self) -> None:
        """Begin a reading, unless one is under way."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="slots of the Redis cluster")
            self._reading.add_done_callback(self._done)

    async def read(self) -> SlotMap:
        """Return a new map. All callers wait for the same reading. Raise StoreUnavailable."""
        self.refresh()
        assert self._reading is not None
        return await asyncio.shield(self._reading)

    def suspect(self, node: NodeAddress) -> None:
        """Ask this node last in the next reading, because it has not answered."""
        self._silent.add(node)

    async def aclose(self) -> None:
        """End a reading that is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def _done(self, task: asyncio.Task[SlotMap]) -> None:
        self._reading = None
        self._read_s = asyncio.get_running_loop().time()
        error = lost("not_applied") if task.cancelled() else task.exception()
        if error is not None:
            return self._on_read(error if isinstance(error, StoreUnavailable) else lost("not_applied"))
        self.map = task.result()
        self._silent.clear()
        return self._on_read(self.map)

    async def _read(self) -> SlotMap:
        """Ask one node after the other until one sends the map. Raise StoreUnavailable."""
        await asyncio.sleep(self._read_s + READ_INTERVAL_S - asyncio.get_running_loop().time())
        known = sorted(self.map.nodes if self.map else ()) + self._seeds
        failure: CellarError = lost("not_applied")
        for node in sorted(dict.fromkeys(known), key=lambda node: node in self._silent):
            try:
                return await self._ask(node)
            except CellarError as error:
                failure = error
                self._silent.add(node)
        raise StoreUnavailable(failure.detail)

    async def _ask(self, node: NodeAddress) -> SlotMap:
        connection = RedisConnection(
            self._like.at(*node), connect_timeout_s=NODE_TIMEOUT_S, reply_timeout_s=NODE_TIMEOUT_S
        )
        try:
            [reply] = await connection.call([(b"CLUSTER", b"SLOTS")])
        finally:
            await connection.aclose()
        if isinstance(reply, ReplyError):
            raise StoreUnavailable(f"{node[0]}:{node[1]} tells nothing of a Redis cluster: {reply}")
        return SlotMap.parse(reply, node)
