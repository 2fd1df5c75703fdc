"""The uvicorn server of the api process, with Cellar's own HTTP and WebSocket protocols and its own shutdown."""

import asyncio
import gc
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI

from cellar import __version__
from cellar.api.dependencies import Services
from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.sequence_stream.response import OpenSequences
from cellar.api.websocket.connection.keep_alive import PING_S
from cellar.api.websocket.connection.protocol import StreamProtocol
from cellar.api.websocket.streams import Streams
from cellar.errors import CellarError
from cellar.settings import Settings

KEEP_ALIVE_S = 75
"""Longer than the usual 60 s of proxies, so that a proxy never sends a request on a connection that is being closed."""

BACKLOG = 2048
"""Connections that can wait while the api is restarted."""

READY_S = 1.0
"""Pause between two checks of a Redis that was not usable at start."""

GARBAGE = 10_000
"""New objects between two collections of the youngest generation: those of a hundred steps. Python's default is 700."""

DURABILITY = {
    "always": "each acknowledged step is on its disk (append-only file, fsync always)",
    "everysec": "a crash of its machine may lose the last second (append-only file, fsync every second)",
    "no": "a crash of its machine may lose what the operating system had not written yet (append-only file, no fsync)",
    "none": "a crash loses everything since its last snapshot (no append-only file)",
    "unknown": "its durability cannot be read",
}
"""The values of `durability` of the store in words."""


def make_server(app: FastAPI, settings: Settings, announce: Callable[[], Coroutine[Any, Any, None]]) -> uvicorn.Server:
    """Return the server of an application."""
    config = uvicorn.Config(
        app,
        http=StepProtocol,
        ws=StreamProtocol,
        ws_max_size=settings.max_body_bytes,
        ws_ping_interval=PING_S,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing depends on the address of the client
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    streams: Streams = app.state.streams
    services: Services = app.state.services
    sequences: OpenSequences = app.state.sequences

    async def end_streams() -> None:
        """End long sequences, event streams and WebSockets."""
        sequences.stop()
        await services.event_hub.aclose()
        await streams.stop()

    return _Server(config, announce, end_streams, settings.drain_s)


class _Server(uvicorn.Server):
    """Calls `announce` when it accepts connections, and ends streams before it closes connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], Coroutine[Any, Any, None]],
        end_streams: Callable[[], Coroutine[Any, Any, None]],
        drain_s: float,
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._announcing: asyncio.Task[None] | None = None
        self._end_streams = end_streams
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then announce."""
        await super().startup(sockets)
        # The objects that exist now live as long as the process, so the garbage collector can skip them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        self._announcing = asyncio.create_task(self._announce(), name="announce")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, end the streams, then stop as uvicorn does, all within the drain time."""
        for server in self.servers:
            server.close()
        if self._announcing is not None:
            self._announcing.cancel()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._drain_s
        ending = asyncio.create_task(self._end_streams())
        while not ending.done() and not self.force_exit and loop.time() < until_s:
            await asyncio.wait((ending,), timeout=0.1)  # uvicorn checks for a second signal as often
        ending.cancel()
        self.config.timeout_graceful_shutdown = int(max(0, until_s - loop.time()))
        await super().shutdown(sockets)


async def announce(listener: socket.socket, services: Services, say: Callable[[str], None]) -> None:
    """Print the URL of the service, and once Redis is usable, that the service is ready and how durable Redis is."""
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        store = await services.ready()
    except CellarError as error:
        say(f"Cellar {__version__} listens at {url} but is not ready: {error.detail}")
        store = await _wait_until_ready(services)
    say(f"Cellar {__version__} is ready at {url} (API: /docs)")
    say(f"  Redis {store['redis_version']}: {DURABILITY[store['durability']]}")
    if store["replicas"]:
        say("  A replica that takes over may lack the last acknowledged steps: Redis replicates after it has answered")


async def _wait_until_ready(services: Services) -> dict[str, Any]:
    while True:
        await asyncio.sleep(READY_S)
        with suppress(CellarError):
            return await services.ready()
