"""The connections of one client."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.protocol import State

from tests.faults.asked import Lost


class Wires:
    """An HTTP client and WebSockets, each kept until it breaks. Nothing is sent twice here."""

    def __init__(self, session: str, timeout_s: float) -> None:
        self.session = session
        self.timeout_s = timeout_s
        # one for each client: a pool looks through all its connections with every request
        self.http = httpx.AsyncClient(
            timeout=timeout_s, headers={"Cellar-Timeout-Ms": str(self.timeout_ms)}, trust_env=False, verify=False
        )
        self._sockets: dict[str, ClientConnection] = {}

    @property
    def timeout_ms(self) -> int:
        """What a service is told of how long this client waits."""
        return int(1000 * self.timeout_s)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop all connections."""
        await self.http.aclose()
        for url in list(self._sockets):
            self.drop(url)

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], query: dict[str, Any] | None = None
    ) -> httpx.Response:
        """Send a request and return the whole answer. Raise Lost."""
        try:
            return await self.http.post(url, content=body, headers=headers, params=query)
        except httpx.TransportError as lost:
            sent, late = not isinstance(lost, httpx.ConnectError), isinstance(lost, httpx.TimeoutException)
            raise Lost(sent=sent, late=late) from lost

    async def converse(self, url: str, messages: Sequence[str | bytes], takes: Callable[[bytes], bool]) -> None:
        """Send messages on a WebSocket and give what is answered to `takes` until it returns True. Raise Lost."""
        sent = False
        try:
            async with asyncio.timeout(self.timeout_s):
                socket = await self._socket(url)
                sent = True
                for message in messages:
                    await socket.send(message)
                while not takes(await socket.recv(decode=False)):
                    pass
        except (OSError, EOFError, WebSocketException) as lost:  # a TimeoutError is an OSError
            self.drop(url)
            raise Lost(sent=sent, late=isinstance(lost, TimeoutError)) from lost

    async def _socket(self, url: str) -> ClientConnection:
        if url in self._sockets and self._sockets[url].state is not State.OPEN:
            self.drop(url)
        if url not in self._sockets:
            socket = await connect(url.replace("http", "ws", 1), compression=None, proxy=None, ping_interval=None)
            self._sockets[url] = socket
            await socket.recv()  # the service speaks first
        return self._sockets[url]

    def drop(self, url: str) -> None:
        """Give up a WebSocket."""
        socket = self._sockets.pop(url, None)
        if socket is not None:
            socket.transport.abort()
