"""A hop: a proxy between two parties that keep no secret of how they part their messages."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.faults.fate import Schedule

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(ConnectionError):
    """The connection is to be cut, on both sides."""


class Hop(ABC):
    """Listens, carries what comes in as `carry` does, and cuts every connection at the end."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def listen(self) -> asyncio.Server:
        """Return a server that hands its connections to `accept`."""

    @abstractmethod
    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the requests of one connection. Raise OSError or EOFError to cut it."""

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut every connection and stop."""
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a new connection until one side ends it or it is cut."""
        self.aside(self._carry(reader, writer))

    def aside(self, way: Coroutine[Any, Any, None]) -> None:
        """Let something happen beside everything else; a party that is away spoils it."""

        async def quietly() -> None:
            with suppress(OSError, EOFError):
                await way

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.carry(reader, writer)
        finally:
            writer.transport.abort()
