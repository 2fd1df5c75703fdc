"""What one WebSocket sends without end delays no other client, and is not kept."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from uvicorn.server import ServerState
from websockets.exceptions import InvalidStatus

from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.websocket.connection.frame_codec import framed
from cellar.api.websocket.connection.interface import TEXT
from cellar.api.websocket.connection.protocol import StreamProtocol
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import Connection, connected
from tests.api.websocket.conftest import Served, serving, until
from tests.api.websocket.connection.test_protocol import (
    CONT,
    PING,
    PONG,
    Listener,
    Sent,
    StreamServer,
    Transport,
    configured,
    nothing,
)
from tests.api.websocket.connection.test_protocol import HEAD as HANDSHAKE

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def raw_stream(served: Served) -> AsyncIterator[tuple[Connection, StreamProtocol]]:
    """Yield a connection behind the handshake and the greeting, and the service's end of it."""
    there = set(served.server.server_state.connections)
    async with connected(served) as client:
        client.writer.write(HANDSHAKE.replace(b"Host: here", b"Host: localhost"))
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        kind, size = await client.reader.readexactly(2)
        assert kind == TEXT
        await client.reader.readexactly(size)
        (service,) = (one for one in set(served.server.server_state.connections) - there)
        assert isinstance(service, StreamProtocol)
        yield client, service


async def test_an_upgraded_connection_leaves_nothing_of_http(served: Served) -> None:
    """What read the handshake had timers, which kept it alive beside what reads the messages."""
    async with raw_stream(served) as (_, service):
        gc.collect()
        left = [one for one in gc.get_objects() if type(one) is StepProtocol and one.transport is service.transport]
    assert left == []


@pytest.mark.parametrize(
    "flood",
    [
        bytes(Sent(PING, b"")) * 40_000,
        bytes(Sent(1, b"{}")) * 20_000,
        bytes(Sent(1, b"{", fin=False)) + bytes(Sent(CONT, b"", fin=False)) * 40_000,
        bytes(Sent(10, b"")) * 40_000,
    ],
    ids=["pings", "messages", "continuations", "pongs"],
)
async def test_others_have_their_turn(served: Served, flood: bytes) -> None:
    """A step that comes behind thousands of messages of another client is answered before they are all read."""
    session = await served.begin()
    async with served.stream(session) as other, raw_stream(served) as (client, service):
        await other.receive()
        client.writer.write(flood)
        await until(lambda: bool(service._held))
        assert (await other.ask(input=[1, 2]))["step"] == 1
        assert service._held, "the flood is over"
        client.writer.transport.abort()


async def test_pings_and_messages_are_all_answered(served: Served) -> None:
    """In turns, and in their order."""
    count = 3000
    async with raw_stream(served) as (client, _):
        client.writer.write((bytes(Sent(PING, b"here?")) + bytes(Sent(1, b"{}"))) * count)
        data = b""
        while data.count(b"malformed") + data.count(b"invalid_input") < count:
            piece = await client.reader.read(1 << 16)
            assert piece
            data += piece
        assert data.count(framed(0x80 | PONG, b"here?")) == count


async def test_a_client_that_takes_nothing_is_owed_one_pong() -> None:
    async with listening() as (protocol, transport, _):
        protocol.pause_writing()
        for number in range(1000):
            protocol.data_received(bytes(Sent(PING, b"%d" % number)))
        await until(lambda: not protocol._queued)
        assert transport.written == b""
        protocol.resume_writing()
        assert transport.written == framed(0x80 | PONG, b"999")


async def test_fragments_are_kept_in_one_piece() -> None:
    async with listening() as (protocol, _, listener):
        protocol.data_received(bytes(Sent(2, b"a", fin=False)))
        for _ in range(1000):
            protocol.data_received(bytes(Sent(CONT, b"", fin=False)) + bytes(Sent(CONT, b"b", fin=False)))
        await until(lambda: not protocol._queued)
        assert bytes(protocol._fragments or b"") == b"a" + b"b" * 1000
        protocol.data_received(bytes(Sent(CONT, b"c")))
        assert listener.said == [(0x82, b"a" + b"b" * 1000 + b"c")]


async def test_streams_over_the_limit_are_turned_away(settings: Settings) -> None:
    async with serving(with_own_keys(settings, max_streams=1)) as served:
        async with served.stream() as first:
            await first.receive()
            with pytest.raises(InvalidStatus) as refused:
                async with served.stream():
                    pass
            assert refused.value.response.status_code == 503
            assert b"overloaded" in (refused.value.response.body or b"")
        await until(lambda: served.app.state.load.streams == 0)
        async with served.stream() as later:
            await later.receive()


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[StreamProtocol, Transport, Listener]]:
    """Yield a connection that hands on what comes."""
    streams = StreamServer(Listener())
    protocol, transport = StreamProtocol(configured(nothing, streams), ServerState()), Transport()
    protocol.connection_made(transport)
    protocol.data_received(HANDSHAKE)
    await until(lambda: protocol._taking)
    transport.written = b""
    yield protocol, transport, streams.listener
    streams.over.set()
    protocol.connection_lost(None)
