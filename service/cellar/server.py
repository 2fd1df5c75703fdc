"""The uvicorn server of the api process, with Cellar's own HTTP and WebSocket protocols and its own shutdown.

A process that stops ends what lasts long, finishes the running requests and closes the connections. A process that is
replaced first has clients leave: it answers what they still send on open connections with `Connection: close`.
"""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from cellar.api.dependencies import Services
from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.sequence_stream.response import OpenSequences
from cellar.api.websocket.connection.keep_alive import PING_S
from cellar.api.websocket.connection.protocol import StreamProtocol
from cellar.api.websocket.streams import Streams
from cellar.embedded.control import ControlChannel, Message
from cellar.embedded.listeners import BACKLOG
from cellar.errors import CellarError, StartupError, StoreUnavailable
from cellar.ports.peers import Peers
from cellar.settings import Settings

KEEP_ALIVE_S = 75
"""Longer than the usual 60 s of proxies, so that a proxy never sends a request on a connection that is being closed."""

LEAVE_S = 5.0
"""Longest time that a replaced process waits for clients to use their open connections once more, seconds.

A request in flight is lost when its connection is closed. httpx does not use a connection again after 5 s.
"""

READY_S = 0.1
"""Pause between two checks of a Redis that was not usable at start."""

GARBAGE = 10_000
"""New objects between two collections of the youngest generation: those of a hundred steps. Python's default is 700."""


def make_server(app: FastAPI, settings: Settings, announce: Callable[[], Coroutine[Any, Any, None]]) -> "ApiServer":
    """Return the server of an application, which runs `announce` once it accepts connections."""
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
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    return ApiServer(config, app, announce, settings.drain_s)


class ApiServer(uvicorn.Server):
    """Calls `announce` when it accepts connections, and ends streams before it closes connections."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, announce: Callable[[], Coroutine[Any, Any, None]], drain_s: float
    ) -> None:
        super().__init__(config)
        self._app = app
        self._announce = announce
        self._drain_s = drain_s
        self._tasks: list[asyncio.Task[None]] = []
        self._supervision: Supervision | None = None
        self._retiring = False
        """Whether another process replaces this one, and clients have time to leave."""
        self.fault: StartupError | None = None
        """Why the process cannot serve at all, once that is known."""

    def follow(self, channel: ControlChannel, peers: Peers | None, others: Mapping[int, socket.socket]) -> None:
        """Follow the messages of the parent; `others` are the listening sockets of the other slots."""
        self._supervision = Supervision(channel, peers, VacantSlots(others, self._accept_on), self.retire)

    def retire(self) -> None:
        """Stop, because another process accepts on the same sockets, and lose no request of an open connection."""
        self._retiring = self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop because of a signal."""
        self._retiring = False
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then announce."""
        await super().startup(sockets)
        # The objects that exist now live as long as the process, so the garbage collector can skip them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        gc.enable()
        self._tasks = [asyncio.create_task(self._announce_or_stop(), name="announce")]
        if self._supervision is not None:
            self._tasks.append(asyncio.create_task(self._supervision.run(), name="supervision"))

    async def _announce_or_stop(self) -> None:
        """Announce that the process is ready, or stop it if it can never be."""
        try:
            await self._announce()
        except StartupError as error:
            self.fault, self.should_exit = error, True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, end the streams, then stop as uvicorn does, all within the drain time."""
        for server in self.servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._drain_s
        if self._retiring:
            await self._have_clients_leave(min(LEAVE_S, self._drain_s / 2))
        ending = asyncio.create_task(self._end_streams())
        while not ending.done() and not self.force_exit and loop.time() < until_s:
            await asyncio.wait((ending,), timeout=0.1)  # uvicorn checks for a second signal as often
        ending.cancel()
        self.config.timeout_graceful_shutdown = int(max(0, until_s - loop.time()))
        await super().shutdown(sockets)

    async def _have_clients_leave(self, most_s: float) -> None:
        """Close WebSockets, and answer requests with `Connection: close` until there are no connections."""
        state, streams = self.server_state, self._app.state.streams
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        closing = asyncio.create_task(streams.stop())
        loop = asyncio.get_running_loop()
        until_s = loop.time() + most_s
        while state.connections and self._retiring and loop.time() < until_s:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.05)
        closing.cancel()

    async def _end_streams(self) -> None:
        """End long sequences, event streams and WebSockets."""
        services: Services = self._app.state.services
        sequences: OpenSequences = self._app.state.sequences
        streams: Streams = self._app.state.streams
        sequences.stop()
        await services.event_hub.aclose()
        await services.job_following.aclose()
        await services.sweep_following.aclose()
        await streams.stop()

    async def _accept_on(self, listener: socket.socket) -> asyncio.base_events.Server:
        """Accept connections on a further socket."""
        loop = asyncio.get_running_loop()
        server: asyncio.base_events.Server = await loop.create_server(
            self._new_connection, sock=listener, ssl=self.config.ssl
        )
        return server

    def _new_connection(self) -> asyncio.Protocol:
        return StepProtocol(self.config, self.server_state, self.lifespan.state)


class VacantSlots:
    """Accepts the connections of slots that have no living process, so that none waits for one that cannot start."""

    def __init__(
        self,
        listeners: Mapping[int, socket.socket],
        accept: Callable[[socket.socket], Awaitable[asyncio.base_events.Server]],
    ) -> None:
        self._listeners = listeners
        self._accept = accept
        self._servers: dict[int, asyncio.base_events.Server] = {}

    async def follow(self, living: frozenset[int]) -> None:
        """Accept on the sockets of all slots that do not live, and no more on those of the others."""
        for slot, listener in self._listeners.items():
            if slot in living:
                if server := self._servers.pop(slot, None):
                    server.close()
            elif slot not in self._servers:
                self._servers[slot] = await self._accept(listener.dup())

    def close(self) -> None:
        """Stop accepting."""
        for server in self._servers.values():
            server.close()


class Supervision:
    """Carries out what the parent says: which slots live, and that this process is to retire."""

    def __init__(
        self, channel: ControlChannel, peers: Peers | None, vacant: VacantSlots, retire: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._peers = peers
        self._vacant = vacant
        self._retire = retire
        self._changed = asyncio.Event()
        self._refreshes: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the messages until cancelled."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._receive)
        try:
            while self._peers is not None:
                await self._changed.wait()
                self._changed.clear()
                with suppress(OSError):  # no file to spare now: the parent keeps the socket
                    await self._vacant.follow(self._peers.living)
            await asyncio.Event().wait()
        finally:
            loop.remove_reader(self._channel.fileno())
            self._vacant.close()
            if self._peers is not None:
                self._peers.drain()

    def _receive(self) -> None:
        for message in self._channel.receive():
            if "retire" in message:
                self._retire()
            elif self._peers is not None:
                self._take(self._peers, message)

    def _take(self, peers: Peers, message: Message) -> None:
        if "living" in message:
            peers.update({int(slot): process for slot, process in message["living"].items()})
            self._changed.set()
        elif "refreshed" in message:
            peers.refreshed(message["refreshed"])
        elif "refresh" in message:
            task = asyncio.create_task(self._refresh(peers, message["refresh"]))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)

    async def _refresh(self, peers: Peers, request: object) -> None:
        with suppress(CellarError):  # it is read again within a second
            await peers.refresh()
        self._channel.send({"refreshed": request})


async def report(services: Services, send: Callable[[Message], object]) -> None:
    """Send that the process is ready, with what is known about the store, once Redis is usable.

    Raise StartupError if Redis is too old.
    """
    said = False
    while True:
        try:
            store = await services.ready()
        except CellarError as error:
            if isinstance(error, StoreUnavailable) and error.is_unfit:
                raise StartupError(f"{error.detail} (CELLAR_REDIS_URL)") from error
            if not said:
                said = send({"waiting": error.detail}) is not False
            await asyncio.sleep(READY_S)
        else:
            send({"ready": store})
            return
