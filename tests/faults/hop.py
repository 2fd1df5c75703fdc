"""Hops: proxies to which things happen, message by message."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from tests.faults.fate import Fault, Schedule, Way

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(ConnectionError):
    """The connection is to be cut, on both sides."""


async def say(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write, unless the connection is closed, and return when all is on its way. Raise OSError."""
    if writer.transport.is_closing():
        raise Cut
    writer.transport.set_write_buffer_limits(0)  # what is still in a buffer would be lost with the connection
    writer.write(data)
    await writer.drain()


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
        self.aside(self._carry, reader, writer)

    def aside(self, way: Way, *arguments: Any) -> None:
        """Let something happen beside everything else; a party that is away spoils it."""

        async def quietly() -> None:
            with suppress(OSError, EOFError):
                await way(*arguments)

        task = asyncio.create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.carry(reader, writer)
        finally:
            writer.transport.abort()


Whole = Callable[[bytes], int]
"""Returns how many of some bytes are whole messages."""

Elsewhere = Callable[[bytes], Awaitable[None]]
"""Has messages carried out over another connection."""


class Pipe:
    """Carries what two parties say at any time, whoever's turn it is; what is said in one go meets one fault."""

    def __init__(self, hop: Hop, whole: Whole = len, elsewhere: Elsewhere | None = None) -> None:
        self._hop = hop
        self._schedule = hop.schedule
        self._whole = whole
        self._elsewhere = elsewhere
        self._met: list[Fault] = []
        """What happens to the replies that come next."""

    async def carry(self, near: Ends, far: Ends) -> None:
        """Pass requests from near to far and replies back, until one side ends. Raise OSError or EOFError."""
        both = [
            asyncio.create_task(self._requests(near[0], far[1])),
            asyncio.create_task(self._replies(far[0], near[1])),
        ]
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _requests(self, near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        held = b""
        while data := await near.read(2**20):
            held += data
            end = self._whole(held)
            messages, held = held[:end], held[end:]
            if messages:
                await self._pass(messages, far)

    async def _pass(self, messages: bytes, far: asyncio.StreamWriter) -> None:
        fault = self._schedule.draw()
        if fault is Fault.LOST:
            raise Cut
        if fault is Fault.HOLD:
            await asyncio.sleep(self._schedule.pause_s())
        if fault is Fault.AGAIN and self._elsewhere is not None:
            await self._elsewhere(messages)
        if fault is Fault.ECHO and self._elsewhere is not None:
            self._hop.aside(self._schedule.later, self._elsewhere, messages)
        if fault in (Fault.MUTE, Fault.CROP, Fault.LAG):
            self._met.append(fault)
        await say(far, messages[: len(messages) // 2] if fault is Fault.TORN else messages)
        if fault in (Fault.TORN, Fault.GONE):
            raise Cut

    async def _replies(self, far: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        while data := await far.read(2**20):
            fault = self._met.pop() if self._met else None
            if fault is Fault.MUTE:
                raise Cut
            if fault is Fault.LAG:
                await asyncio.sleep(self._schedule.pause_s())
            await say(near, data[: len(data) // 2] if fault is Fault.CROP else data)
            if fault is Fault.CROP:
                raise Cut
