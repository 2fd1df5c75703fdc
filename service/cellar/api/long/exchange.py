"""The answer to a long sequence: while a chunk runs, the next one is read.

No more than three chunks are held, one that runs, one that waits and one that comes. Who sends slowly, or does not read
the answer, holds up nobody else.
"""

import asyncio
from itertools import chain

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from cellar.api.body import beside
from cellar.api.long.answers import Outputs, last_line, line_of, problem_line
from cellar.api.long.steps import Chunks, Reader
from cellar.api.problems import problem_of
from cellar.errors import CellarError, Overloaded
from cellar.runtime.answers import Floats
from cellar.runtime.long import LongSequence, Ran

Read = Floats | Exception | None
"""A chunk, what is wrong behind the last one, or the end."""


class Underway:
    """The long sequences that are being answered."""

    def __init__(self) -> None:
        self.exchanges: set[Exchange] = set()
        self.stopping = False

    def stop(self) -> None:
        """Let each of them end with the chunks that it has, and tell its client where to go on."""
        self.stopping = True
        for exchange in self.exchanges:
            exchange.stop()


class Exchange(Response):
    """A response that runs the steps of its request."""

    def __init__(
        self, sequence: LongSequence, reader: Reader, outputs: Outputs, media_type: str, underway: Underway
    ) -> None:
        self._underway = underway
        self._stopping = False
        self._sequence = sequence
        self._reader = reader
        self._outputs: Outputs = outputs
        self._chunks = Chunks(sequence.chunk, sequence.size)
        self._read: asyncio.Queue[Read] = asyncio.Queue(1)
        self._begun = False
        self.media_type = media_type
        self.status_code = 200
        self.background = None
        self.init_headers({"content-type": media_type})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and run at once until all is done, or something fails."""
        self._reading = asyncio.create_task(self._take(receive), name="read steps")
        self._underway.exchanges.add(self)
        try:
            if self._underway.stopping:
                self.stop()
            await self._run(send)
        except CellarError as error:
            if not self._begun:
                return await problem_of(error)(scope, receive, send)
            await self._send(send, problem_line(error, self._sequence))
        finally:
            self._underway.exchanges.discard(self)
            self._reading.cancel()
        await self._send(send, b"", more=False)
        return None

    def stop(self) -> None:
        """Read no more; end behind the chunk that is running and the one that waits."""
        self._stopping = True
        self._reading.cancel()
        if self._read.empty():
            self._read.put_nowait(_stopped())

    async def _take(self, receive: Receive) -> None:
        """Read the body to its end, or to what is wrong with it."""
        try:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                more = message.get("more_body", False)
                data = message.get("body", b"")
                chunks, fault = await beside(len(data), self._chunks_of, data, not more)
                for chunk in chunks:
                    await self._read.put(chunk)
                if fault is not None:
                    raise fault
        except Exception as error:  # whatever it is, it is told behind the chunks before it
            await self._read.put(error)
        else:
            await self._read.put(None)

    def _chunks_of(self, data: bytes, last: bool) -> tuple[list[Floats], CellarError | None]:
        """Return the chunks that are whole now, and what is wrong behind them."""
        found: list[Floats] = []
        try:
            for steps in chain(self._reader.feed(data), self._reader.end() if last else ()):
                found.extend(self._chunks.add(steps))
        except CellarError as fault:
            return found, fault
        rest = self._chunks.rest()
        return [*found, rest] if last and len(rest) else found, None

    async def _run(self, send: Send) -> None:
        while (read := await self._next()) is not None:
            if isinstance(read, Exception):
                raise read
            for ran in await self._sequence.run(read):
                await self._answer(send, ran)
        for ran in await self._sequence.end():
            await self._answer(send, ran)
        await self._send(send, last_line(self._sequence))

    async def _next(self) -> Read:
        return _stopped() if self._stopping and self._read.empty() else await self._read.get()

    async def _answer(self, send: Send, ran: Ran) -> None:
        size = 0 if ran.outputs is None or self._outputs != "all" else ran.outputs.nbytes
        await self._send(send, await beside(size, line_of, ran, self._outputs))

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        message: Message = {"type": "http.response.body", "body": data, "more_body": more}
        await send(message)


def _stopped() -> Overloaded:
    return Overloaded("the service is stopping: go on from here, or send the same again")
