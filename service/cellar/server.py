"""The server of the api: uvicorn, with protocols of our own for steps, that ends streams before connections."""

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
from cellar.api.sequence_stream.response import Underway
from cellar.api.websocket.app import Streams
from cellar.api.websocket.connection.keep_alive import PING_S
from cellar.api.websocket.connection.protocol import StreamProtocol
from cellar.errors import CellarError
from cellar.settings import Settings

KEEP_ALIVE_S = 75
"""Longer than the 60 s for which usual proxies keep an idle connection: who ends it last never meets a closed one."""

BACKLOG = 2048
"""Connections that may wait while the api starts again."""

READY_S = 1.0
"""How often a Redis that could not keep sessions at start is asked again."""

GARBAGE = 10_000
"""New objects after which the youngest are looked through: those of a hundred steps. Python's 700 are those of ten."""

DURABILITY = {
    "always": "each acknowledged step is on its disk (append-only file, fsync always)",
    "everysec": "a crash of its machine may lose the last second (append-only file, fsync every second)",
    "no": "a crash of its machine may lose what the system had not written yet (append-only file, no fsync)",
    "none": "a crash loses what came after its last snapshot (no append-only file)",
    "unknown": "it does not tell how durable it is",
}
"""What `durability` of the store means for people."""


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
        proxy_headers=False,  # nothing here depends on who a proxy says the client is
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    streams: Streams = app.state.streams
    services: Services = app.state.services
    underway: Underway = app.state.underway

    async def end_streams() -> None:
        underway.stop()
        await services.event_hub.aclose()
        await streams.stop()

    return _Server(config, announce, end_streams, settings.drain_s)


class _Server(uvicorn.Server):
    """A server that announces itself once it can be reached, and that ends streams before it closes connections."""

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
        # What is there now stays: the collector need not look through it with every step that it looks at.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        self._announcing = asyncio.create_task(self._announce(), name="announce")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, end the streams, then stop as uvicorn does, all within the time for draining."""
        for server in self.servers:
            server.close()
        if self._announcing is not None:
            self._announcing.cancel()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._drain_s
        ending = asyncio.create_task(self._end_streams())
        while not ending.done() and not self.force_exit and loop.time() < until_s:
            await asyncio.wait((ending,), timeout=0.1)  # as often as uvicorn looks whether a second signal has come
        ending.cancel()
        self.config.timeout_graceful_shutdown = int(max(0, until_s - loop.time()))
        await super().shutdown(sockets)


async def announce(listener: socket.socket, services: Services, say: Callable[[str], None]) -> None:
    """Say where the service is; that it is ready, and how durable its Redis is, as soon as that can keep sessions."""
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
        say("  A replica that takes over may lack what was acknowledged last: Redis copies after it has answered")


async def _wait_until_ready(services: Services) -> dict[str, Any]:
    while True:
        await asyncio.sleep(READY_S)
        with suppress(CellarError):
            return await services.ready()
