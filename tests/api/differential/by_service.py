"""What the service finds in a stream: its own protocol, on a transport that is only a list of what was written."""

import asyncio
import random
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from cellar.api.fast_http import protocol
from cellar.api.fast_http.direct_cycle import DirectRoutes
from cellar.api.fast_http.head_template import HeadTemplates
from cellar.api.fast_http.request_cycle import OK
from cellar.api.fast_http.request_head import Head, Terms
from cellar.api.limits.limits import Limits, Load
from cellar.api.middleware.access import Access
from cellar.api.middleware.authentication import Authenticator
from cellar.api.outcomes.outcome import no_outcomes
from tests.api.differential.readings import MOST_BODY_BYTES, End, Reading, Request

MOST_TURNS = 1000
"""Of the loop, in which a connection must have come to rest."""


class Transport(asyncio.Transport):
    """Keeps what is written, and says whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.protocol: Any = None
        self.paused = self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def writelines(self, pieces: Iterable[Any]) -> None:
        for piece in pieces:
            self.written += piece

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol


class StepCycle:
    """Stands in for the cycle of a step: notes what is asked for, and answers nothing."""

    message_event = SimpleNamespace(set=lambda: None)

    def __init__(
        self,
        connection: protocol.StepProtocol,
        session: str,
        key: str | None,
        terms: Terms,
        request_id: str | None,
        *,
        keep_alive: bool,
    ) -> None:
        self.head = Head(session, key, terms, request_id)
        self.request_id = request_id
        self.pieces: list[bytes] = []
        self.keep_alive = keep_alive
        self.disconnected = self.response_complete = False
        self._connection = connection

    def run(self, body: bytes) -> None:
        """Note the request, and answer it a little later."""
        connection: Any = self._connection
        connection.app_state["found"].append(Request(b"POST", b"", [], body, self.head))
        connection.loop.call_soon(connection.write, self, OK, b"content-length: 0\r\n", b"")


class App:
    """Notes the requests that come whole."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(
            services=SimpleNamespace(quotas=SimpleNamespace(limits_connections=False)),
            max_body_bytes=MOST_BODY_BYTES,
            forms=HeadTemplates(),
            direct=DirectRoutes(),
            access=Access(["*"], []),
            authenticator=Authenticator(),
            load=Load(Limits()),
            outcomes=no_outcomes(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note a request and answer nothing, or go away if its client did."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        query = scope["query_string"]
        target = scope["raw_path"] + (b"?" + query if query else b"")
        scope["state"]["found"].append(Request(scope["method"].encode(), target, list(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


class WebSocket(asyncio.Protocol):
    """Notes that a WebSocket has begun."""

    def __init__(self, *, app_state: dict[str, Any], **_: Any) -> None:
        self._reading: Reading = app_state["reading"]

    def data_received(self, _: bytes) -> None:
        """Take the handshake, and whatever comes behind it."""
        self._reading.end = End.UPGRADED


class Service:
    """Reads streams, one after the other, with what its connections know of each other's heads."""

    def __init__(self, patch: Any) -> None:
        patch.setattr(protocol, "StepCycle", StepCycle)
        self._config = uvicorn.Config(
            App(), ws=WebSocket, proxy_headers=False, log_config=None, lifespan="off", access_log=False
        )
        self._config.load()

    async def read(self, pieces: Iterable[bytes], chance: random.Random) -> Reading:
        """Return what is found in a stream that comes in these pieces; now and then answers are slower than those."""
        reading, transport = Reading(), Transport()
        state = {"found": reading.requests, "reading": reading}
        transport.protocol = connection = protocol.StepProtocol(self._config, ServerState(), state)
        connection.connection_made(transport)
        for piece in pieces:
            if chance.random() < 0.25 or transport.paused:
                await self._rest(transport, connection)
            if transport.closed or reading.end is End.UPGRADED:
                break
            transport.protocol.data_received(piece)
        await self._rest(transport, connection)
        if reading.end is not End.UPGRADED:
            reading.end = self._end(transport, connection)
        connection.connection_lost(None)
        if connection.timeout_keep_alive_task is not None:
            connection.timeout_keep_alive_task.cancel()
        return reading

    async def _rest(self, transport: Transport, connection: Any) -> None:
        """Wait until nothing more happens by itself."""
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0)
            cycle, unfinished = connection.cycle, connection.reading and connection.has_cycle
            idle = unfinished or cycle is None or cycle.response_complete or cycle.disconnected
            if transport.closed or (idle and not connection.pipeline and not transport.paused):
                return
        raise AssertionError("the connection does not come to rest")

    def _end(self, transport: Transport, connection: Any) -> End:
        answers = [line[9:12] for line in bytes(transport.written).split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        if b"400" in answers:
            return End.REFUSED
        if transport.closed:
            return End.CLOSED
        return End.CUT if connection.reading else End.CLEAN
