"""A response that is written while the rest of its request is still being read."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from cellar.api.errors.problems import problem_of
from cellar.api.limits.limits import Load
from cellar.api.limits.round_robin import RoundRobin
from cellar.errors import CellarError
from cellar.memory.request_memory import RequestMemory, Reservation


class Duplex(Response, ABC):
    """A response with a task that reads its request, so that it can answer meanwhile.

    The answer begins with the first bytes that are sent. An error before that is a problem document like any other; a
    later one is written after the bytes that were sent.
    """

    def __init__(self, media_type: str) -> None:
        self._begun = False
        self.memory: RequestMemory
        """The memory of all requests."""
        self.share: Reservation
        """The memory of a line or a frame that is not complete."""
        self.turns: RoundRobin
        """Schedules the reading of requests."""
        self.media_type = media_type
        self.status_code = 200
        self.background = None
        self.init_headers({"content-type": media_type})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read and write concurrently until both are done, or one fails."""
        load: Load = scope["app"].state.load
        self.memory = load.memory
        self.share = load.memory.reservation()
        self.turns = load.round_robin
        self._reading = asyncio.create_task(self._read(receive), name="read steps")
        try:
            await self._write(send)
        except CellarError as error:
            if not self._begun:
                return await problem_of(error)(scope, receive, send)
            await self._send(send, self._problem(error))
        finally:
            self._reading.cancel()
            self.share.release()
        await self._send(send, b"", more=False)
        return None

    @abstractmethod
    async def _read(self, receive: Receive) -> None:
        """Read the body. Its faults are left to `_write`, which answers the steps before them first."""

    @abstractmethod
    async def _write(self, send: Send) -> None:
        """Send the answer."""

    @abstractmethod
    def _problem(self, error: CellarError) -> bytes:
        """Return the bytes that report an error after others have been sent."""

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        if not data and more:
            return
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        message: Message = {"type": "http.response.body", "body": data, "more_body": more}
        await send(message)


async def parts_of(receive: Receive) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield the parts of a body as they are received, each with whether it is the last. Raise ClientDisconnect."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        yield message.get("body", b""), not more
