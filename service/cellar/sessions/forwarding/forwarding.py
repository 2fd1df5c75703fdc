"""The connections of a process to its siblings, in both directions, and the assignment of sessions to them."""

import asyncio
import sys
from contextlib import suppress
from typing import Any

from cellar.ports.peers import Peers
from cellar.sessions.forwarding.origin_connection import OriginConnection
from cellar.sessions.forwarding.owner_connection import OwnerConnection
from cellar.sessions.forwarding.ownership import owners_of
from cellar.sessions.forwarding.steps import ForwardingSteps
from cellar.sessions.service.steps import Steps

RETRY_S = 0.2
"""Pause before a lost connection is opened again."""


class Forwarding:
    """Connects a process with its siblings. `steps` takes the place of `local`, its entry point for steps."""

    def __init__(self, local: Steps, peers: Peers) -> None:
        self._peers = peers
        self._local = local
        self.steps = ForwardingSteps(local)
        self._most_steps = self.steps.admission.most
        self._owners: dict[int, OwnerConnection] = {}
        self._origins: set[OriginConnection] = set()
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take steps from the siblings, and connect to them."""
        loop = asyncio.get_running_loop()
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}  # it is the parent's
        self._server = await loop.create_unix_server(self._accept, sock=self._peers.listener, **keep)
        self._tasks = [
            asyncio.create_task(self._keep(slot, path), name=f"steps to process {slot}")
            for slot, path in enumerate(self._peers.paths)
            if slot != self._peers.own
        ]
        self._peers.watch(self._assign)
        self._peers.on_drain(self._leave)
        self._assign()

    def _leave(self) -> None:
        """Take no more steps."""
        if self._server is not None:
            self._server.close()
        for origin in self._origins:
            origin.leave()

    async def leave(self, grace_s: float) -> None:
        """Take no more steps, and wait up to `grace_s` until the siblings know, and have the answers."""
        self._leave()
        self._empty.clear()
        if self._origins:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace_s)

    async def aclose(self) -> None:
        """Close all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for owner in self._owners.values():
            owner.close()
        for origin in [*self._origins]:
            origin.close()

    def _accept(self) -> OriginConnection:
        return OriginConnection(self._local, self._most_steps, self._origins.add, self._note_end)

    def _note_end(self, origin: OriginConnection) -> None:
        self._origins.discard(origin)
        if not self._origins:
            self._empty.set()

    async def _keep(self, slot: int, path: str) -> None:
        """Keep a connection to a sibling. It is used from the greeting on, until it is lost or the sibling leaves."""
        while True:
            owner = OwnerConnection(self._assign, self.steps.end, self.steps.submit_here, self._most_steps)
            self._owners[slot] = owner
            with suppress(OSError):
                # mypy infers no lambda with a default
                await asyncio.get_running_loop().create_unix_connection(lambda owner=owner: owner, path)  # type: ignore[misc]
                await owner.closed.wait()
            await asyncio.sleep(RETRY_S)

    def _assign(self) -> None:
        """Assign the buckets of sessions to the living processes that take steps."""
        own = self._peers.own
        members = tuple(sorted(self._peers.living)) or (own,)
        taking = {slot: owner for slot, owner in self._owners.items() if owner.is_taking}
        found = [taking.get(slot) for slot in members]
        self.steps.owners = [found[index] for index in owners_of(tuple(map(str, members)))]
