"""A proxy between a client and a service that can be killed: every connection is cut, and none is accepted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.faults.front import address_of


class Proxy:
    """Passes bytes on between clients and the service at an address."""

    def __init__(self, service: str) -> None:
        self._service = address_of(service)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients find it, also after it was killed and started again."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Cut every connection, whatever is being sent over it."""
        for task in self._tasks:
            task.cancel()

    def kill(self) -> None:
        """Cut every connection, and accept none until it is started again."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(*self._service)
            try:
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
            finally:
                back.transport.abort()
        writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


@asynccontextmanager
async def running_proxy(service: str) -> AsyncIterator[Proxy]:
    """Run a proxy in front of a service."""
    proxy = Proxy(service)
    await proxy.start()
    try:
        yield proxy
    finally:
        proxy.kill()
