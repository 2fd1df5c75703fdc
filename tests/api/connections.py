"""Connections of clients that say exactly what they are told, byte for byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import orjson

from cellar.api.fast_http.protocol import StepProtocol
from cellar.ports import ROW, Position, SessionKey, StepCommand, StepResult
from tests.api.websocket.conftest import Served


def request(
    session: str,
    body: bytes,
    *headers: bytes,
    version: bytes = b"1.1",
    kind: str = "application/json",
    path: str = "step",
) -> bytes:
    """Return a plain step as bytes, with headers besides."""
    lines = [
        b"POST /v1/sessions/%s/%s HTTP/%s" % (session.encode(), path.encode(), version),
        b"Host: test",
        b"Content-Type: " + kind.encode(),
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


def step(*values: float) -> bytes:
    """Return the body of a step."""
    return orjson.dumps({"input": values})


RESULT = StepResult(
    StepCommand(SessionKey("default", "s"), np.zeros((1, 1, 2), np.float32), layout=ROW),
    Position(bytes(8), 1, bytes(16)),
    steps=1,
    output=bytes(12),
    replayed=False,
)
"""What steps come to that tests answer by themselves: three zeros."""


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: dict[str, object]


class Connection:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> Answer:
        """Read one answer in JSON."""
        headers, body = await self.raw()
        return Answer(int(headers[""]), headers, orjson.loads(body))

    async def head(self) -> dict[str, str]:
        """Read the head of an answer: its headers, with the status as that of no name."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        return {**headers, "": head[0].split(" ")[1]}

    async def raw(self) -> tuple[dict[str, str], bytes]:
        """Read one answer: its head and its body."""
        headers = await self.head()
        return headers, await self.reader.readexactly(int(headers["content-length"]))

    async def ended(self) -> bool:
        """Return whether the service has closed the connection; there is nothing more to read."""
        return await self.reader.read(1) == b""


def of_the_service(served: Served, client: Connection) -> StepProtocol:
    """Return the service's end of a connection."""
    own = client.writer.get_extra_info("sockname")
    connections = [one for one in served.server.server_state.connections if isinstance(one, StepProtocol)]
    (found,) = (one for one in connections if one.client == own)
    return found


@asynccontextmanager
async def connected(served: Served) -> AsyncIterator[Connection]:
    """Open a connection to a server."""
    host, port = served.address.split(":")
    connection = Connection(*await asyncio.open_connection(host, int(port)))
    try:
        yield connection
    finally:
        connection.writer.close()
