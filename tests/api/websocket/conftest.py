"""The real server on real sockets, in the test's own loop, and clients that speak the protocol."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.frames import pack_steps, unpack_answers
from cellar.main import create_app
from cellar.server import make_server
from cellar.settings import Settings
from cellar.wire.frames import frames
from tests.api.conftest import with_own_keys

NETWORK = {"in_size": 2, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 3}]}

NO_LINGER = struct.pack("ii", 1, 0)
"""Closing such a socket sends RST: what is under way is lost."""


async def until(look: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.005)  # between two looks


class Stream:
    """A client of a stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        """Send a JSON message."""
        await self.socket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Return the next JSON message."""
        said = json.loads(await self.socket.recv())
        assert isinstance(said, dict)
        return said

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and return the next one."""
        await self.send(**message)
        return await self.receive()

    async def send_frame(self, *steps: frames.Step) -> None:
        """Send steps in one frame."""
        await self.socket.send(pack_steps(steps))

    async def receive_frames(self, answers: int) -> list[frames.Answer]:
        """Return so many answers, in however many frames they come."""
        found: list[frames.Answer] = []
        while len(found) < answers:
            said = await self.socket.recv()
            assert isinstance(said, bytes)
            found += unpack_answers(said)
        return found

    async def end(self) -> tuple[int, str]:
        """Wait until the service has closed it; return code and reason. Whatever it said before is dropped."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""

    def drop(self) -> None:
        """Be gone at once, without a word."""
        self.socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.socket.transport.abort()


@dataclass
class Served:
    """A running server."""

    app: FastAPI
    server: uvicorn.Server
    address: str
    http: httpx.AsyncClient

    @asynccontextmanager
    async def stream(self, session: str | None = None, **headers: str) -> AsyncIterator[Stream]:
        """Open a stream of one session, or of many."""
        path = "/v1/stream" if session is None else f"/v1/sessions/{session}/stream"
        async with connect(f"ws://{self.address}{path}", additional_headers=headers, max_size=None) as socket:
            yield Stream(socket)

    async def in_flight(self, count: int) -> None:
        """Wait until so many steps are in flight on all streams."""
        sockets = self.app.state.streams.sockets
        await until(lambda: sum(socket.in_flight.count for socket in sockets) == count)

    async def begin(self, **about: Any) -> str:
        """Create a session."""
        made = await self.http.post("/v1/sessions", json={"model": "gru", **about})
        assert made.status_code == 201, made.text
        return str(made.json()["session"])


@asynccontextmanager
async def serving(settings: Settings, key: str = "") -> AsyncIterator[Served]:
    """Serve an application with a model on a free port of its own, and speak to it with this API key."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = "{}:{}".format(*listener.getsockname())
    app, started = create_app(settings), asyncio.Event()

    async def announce() -> None:
        started.set()

    server = make_server(app, settings, announce)
    running = asyncio.create_task(server.serve([listener]))
    await started.wait()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{address}", timeout=60, headers={"authorization": f"Bearer {key}"} if key else None
        ) as http:
            made = await http.post("/v1/models", json={"name": "gru", "network": NETWORK})
            assert made.is_success, made.text
            yield Served(app, server, address, http)
    finally:
        server.should_exit = True
        await running


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of one file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served
