"""The api processes of one service, as each of them sees the others."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

REFRESH_S = 1.0
"""Longest wait until the other processes have read a change. Each of them reads changes by itself once a second."""


class Peers:
    """The slots of a service with several api processes, and which of them have a process that is ready.

    Slots are numbered from 0. A slot keeps its number and its sockets when its process is replaced. During a rolling
    restart, two processes have the same slot for a moment.
    """

    def __init__(
        self,
        own: int,
        listener: socket.socket,
        paths: Sequence[str],
        send: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> None:
        """`paths` are those of the Unix sockets of all slots; `listener` listens on that of this process.

        `send` sends a message to the parent, and returns whether it could.
        """
        self.own = own
        """The slot of this process."""
        self.listener = listener
        self.paths = tuple(paths)
        self.processes: Mapping[int, int] = {}
        """The id of the process in each living slot; it changes when the process is replaced."""
        self.living: frozenset[int] = frozenset()
        """The slots whose process is ready."""
        self._watching: list[Callable[[], object]] = []
        self._draining: list[Callable[[], object]] = []
        self._refreshing: list[Callable[[], Awaitable[object]]] = []
        self._send = send
        self._numbers = count()
        self._asked: dict[int, asyncio.Future[None]] = {}

    @property
    def is_first(self) -> bool:
        """Whether this process does what one process of the service does for all: the first living slot."""
        return self.own == min(self.living, default=self.own)

    def watch(self, call: Callable[[], object]) -> None:
        """Call `call` on the event loop each time `processes` has changed."""
        self._watching.append(call)

    def on_drain(self, call: Callable[[], object]) -> None:
        """Call `call` on the event loop when this process begins to stop and must accept nothing more."""
        self._draining.append(call)

    def on_refresh(self, call: Callable[[], Awaitable[object]]) -> None:
        """Await `call` on the event loop when another process has changed what this one remembers."""
        self._refreshing.append(call)

    async def refresh(self) -> None:
        """Read what another process has changed."""
        for call in self._refreshing:
            await call()

    async def refresh_others(self) -> None:
        """Have all other processes read what this one has changed; wait for them for at most REFRESH_S."""
        number = next(self._numbers)
        self._asked[number] = done = asyncio.get_running_loop().create_future()
        try:
            if self._send({"refresh": number}):
                with suppress(TimeoutError):
                    await asyncio.wait_for(done, REFRESH_S)
        finally:
            del self._asked[number]

    def refreshed(self, number: int) -> None:
        """Note that all others have done what request `number` has asked."""
        done = self._asked.get(number)
        if done is not None and not done.done():
            done.set_result(None)

    def update(self, processes: Mapping[int, int]) -> None:
        """Note which slots live now."""
        if processes != self.processes:
            self.processes, self.living = processes, frozenset(processes)
            for call in self._watching:
                call()

    def drain(self) -> None:
        """Note that this process begins to stop."""
        for call in self._draining:
            call()
