"""A proxy between a service and its Redis that loses replies: the command arrives, the answer does not."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import Self


class LossyProxy:
    """Listens on a unix socket and passes everything on to another one.

    `loses(request)` is asked about every piece of a request that passes; when it says yes, the connection is cut as
    soon as Redis begins to answer. `after_cut` runs after that, before the client can know.
    """

    def __init__(self, upstream: str, loses: Callable[[bytes], bool]) -> None:
        self._upstream = upstream.removeprefix("unix://").partition("?")[0]
        self._loses = loses
        self._directory = tempfile.mkdtemp(prefix="cellar-proxy-", dir="/tmp")
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.after_cut: Callable[[], None] = lambda: None
        self.cuts = 0
        self.url = f"unix://{self._directory}/proxy.sock?db=0"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._accept, f"{self._directory}/proxy.sock")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut every connection and stop."""
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        shutil.rmtree(self._directory)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            redis_reader, redis_writer = await asyncio.open_unix_connection(self._upstream)
        except OSError:  # Redis is down: so is the proxy, to those who come through it
            writer.transport.abort()
            return
        doomed = asyncio.Event()
        for pump in (
            self._pump(reader, redis_writer, writer, doomed, requests=True),
            self._pump(redis_reader, writer, redis_writer, doomed, requests=False),
        ):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        doomed: asyncio.Event,
        *,
        requests: bool,
    ) -> None:
        try:
            while data := await source.read(65536):
                if requests and self._loses(data):
                    doomed.set()
                elif not requests and doomed.is_set():
                    self.cuts += 1
                    self.after_cut()
                    break
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.transport.abort()
            back.transport.abort()


def first(count: int) -> Callable[[bytes], bool]:
    """Return a rule that loses the replies of the first `count` pieces with a script in them."""
    left = count

    def loses(request: bytes) -> bool:
        nonlocal left
        if b"EVALSHA" not in request or left == 0:
            return False
        left -= 1
        return True

    return loses
