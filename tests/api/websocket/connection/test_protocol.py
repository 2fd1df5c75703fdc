"""What the protocol reads by itself it reads as the parser of websockets would, wherever the bytes are cut."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.utils import apply_mask

from cellar.api.limits.limits import Limits, Load
from cellar.api.websocket.close_codes import Closing
from cellar.api.websocket.connection import protocol as connection_protocol
from cellar.api.websocket.connection.frame_codec import framed
from cellar.api.websocket.connection.interface import BINARY, TEXT, Connection
from cellar.api.websocket.connection.protocol import StreamProtocol

HEAD = (
    b"GET /v1/stream HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MOST = 66_000

CONT, PING, PONG, CLOSE = 0, 9, 10, 8
FIN, MASKED = 0x80, 0x80

Said = list[tuple[int, bytes]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Sent:
    """A frame of a client."""

    opcode: int
    payload: bytes
    fin: bool = True
    mask: bytes | None = b"\1\2\3\4"
    reserved: int = 0

    def __bytes__(self) -> bytes:
        """Return it as it goes over the line."""
        size, flag = len(self.payload), 0 if self.mask is None else MASKED
        first = FIN * self.fin | self.reserved << 4 | self.opcode
        length = (
            bytes([flag | size])
            if size < 126
            else bytes([flag | 126]) + size.to_bytes(2, "big")
            if size < 65536
            else bytes([flag | 127]) + size.to_bytes(8, "big")
        )
        if self.mask is None:
            return bytes([first]) + length + self.payload
        return bytes([first]) + length + self.mask + apply_mask(self.payload, self.mask)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.aborted = asyncio.Event()
        self.paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.written += bytes(data)

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def abort(self) -> None:
        """Note it."""
        self.aborted.set()

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self.closed

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing waits to be sent."""
        return 0

    def pause_reading(self) -> None:
        """Note it."""
        self.paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.paused = False


class Listener:
    """Takes messages; after each of those in `slow` it wants no other before it has resumed."""

    def __init__(self, slow: Sequence[int] = ()) -> None:
        self.said: Said = []
        self.slow = slow
        self.is_lost = False

    def take(self, payload: bytes, kind: int) -> bool:
        """Keep a message."""
        self.said.append((kind, payload))
        return len(self.said) not in self.slow

    def together(self) -> AbstractContextManager[None]:
        """Do nothing."""
        return nullcontext()

    def lost(self) -> None:
        """Note it."""
        self.is_lost = True

    def eased(self) -> None:
        """Do nothing."""


class StreamServer:
    """Serves one connection, whose messages go to a listener after each piece that is received."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.over = asyncio.Event()

    def refusal(self, _scope: Scope) -> None:
        """Refuse nothing."""

    async def serve(self, _scope: Scope, connection: Connection) -> None:
        """Serve until the test is over."""
        connection.open(self.listener)
        connection.resume()
        await self.over.wait()


def configured(app: App, streams: Any = None) -> uvicorn.Config:
    """Return the settings of a server."""
    app.state = SimpleNamespace(load=Load(Limits()), streams=streams)  # type: ignore[attr-defined]  # the object has it
    config = uvicorn.Config(app, ws_max_size=MOST, ws_per_message_deflate=False, ws_ping_interval=None, log_config=None)
    config.load()
    return config


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Do nothing: our protocol does not ask the application."""


Either = WebSocketsSansIOProtocol | StreamProtocol


async def spoken(protocol: Either, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return what a connection writes while it receives these pieces, and whether it is closed then."""
    transport = Transport()
    protocol.connection_made(transport)
    protocol.data_received(HEAD)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    handshake = len(transport.written)
    for piece in pieces:
        if transport.closed:
            break
        protocol.data_received(piece)
        await asyncio.sleep(0)
        while isinstance(protocol, StreamProtocol) and transport.paused and not transport.closed:
            protocol.resume()
            await asyncio.sleep(0)  # what is left is handed on in turns
        await asyncio.sleep(0)
    written, closed = transport.written[handshake:], transport.closed
    if not closed:
        protocol.connection_lost(None)
    for _ in range(3):
        await asyncio.sleep(0)
    return written, closed


async def by_parser(pieces: Sequence[bytes]) -> tuple[Said, bytes, bool]:
    """Return what uvicorn's own protocol hands on and writes."""
    said: Said = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            data = message.get("bytes")
            said.append((TEXT, message["text"].encode()) if data is None else (BINARY, data))

    return said, *await spoken(WebSocketsSansIOProtocol(configured(app), ServerState(), {}), pieces)


async def directly(pieces: Sequence[bytes], slow: Sequence[int] = ()) -> tuple[Said, bytes, bool]:
    """Return what ours hands on and writes."""
    streams = StreamServer(Listener(slow))
    found = await spoken(StreamProtocol(configured(nothing, streams), ServerState()), pieces)
    assert streams.listener.is_lost
    streams.over.set()
    return streams.listener.said, *found


LETTERS = b"a text of whatever length "
SIZES = st.one_of(st.integers(0, 130), st.integers(0, 130), st.sampled_from([65535, 65536, MOST, MOST + 1]))
PAYLOADS = SIZES.map(lambda size: (LETTERS * (size // len(LETTERS) + 1))[:size])
MASKS = st.one_of(st.binary(min_size=4, max_size=4), st.just(bytes(4)))

WHOLE = st.builds(Sent, st.sampled_from([1, 2]), PAYLOADS, mask=MASKS).map(lambda frame: [frame])
CONTROL = st.builds(Sent, st.sampled_from([PING, PONG]), st.binary(max_size=125), mask=MASKS).map(lambda frame: [frame])
FRAGMENTS = st.builds(
    lambda opcode, first, between, last: [
        Sent(opcode, first, fin=False),
        *between,
        Sent(CONT, b"between", fin=False),
        *between,
        Sent(CONT, last),
    ],
    st.sampled_from([1, 2]),
    st.binary(max_size=200).map(lambda data: data.hex().encode()),
    CONTROL,
    st.just(b"last"),
)
ODD = st.sampled_from(
    [
        [Sent(CLOSE, b"\x03\xe8bye")],
        [Sent(CLOSE, b"")],
        [Sent(CLOSE, b"x")],
        [Sent(CONT, b"of nothing")],
        [Sent(1, b"begun", fin=False), Sent(1, b"anew")],
        [Sent(1, b"not masked", mask=None)],
        [Sent(PING, b"", mask=None)],
        [Sent(1, b"reserved", reserved=4)],
        [Sent(3, b"unknown")],
        [Sent(PING, bytes(126))],
        [Sent(PING, b"in pieces", fin=False)],
        [Sent(2, bytes(MOST // 2 + 1), fin=False), Sent(CONT, bytes(MOST // 2 + 1))],
    ]
)
TALKS = st.builds(
    lambda groups, odd: [bytes(frame) for group in (*groups, *odd) for frame in group],
    st.lists(st.one_of(WHOLE, WHOLE, CONTROL, FRAGMENTS), max_size=8),
    st.lists(ODD, max_size=1),
)


def cut(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Return the data in pieces, cut at these places, each taken around its end."""
    places = sorted({place % len(data) for place in cuts} - {0}) if data else []
    return [piece for start, end in zip([0, *places], [*places, len(data)], strict=True) if (piece := data[start:end])]


@settings(max_examples=60, deadline=None)
@given(TALKS, st.lists(st.integers(0, 2**20), max_size=12), st.sets(st.integers(1, 10), max_size=3))
@example([bytes(Sent(1, b"x" * size)) for size in (0, 1, 125, 126, 127, 65535, 65536)], [], {2, 3})
def test_it_reads_as_the_parser_does(talk: list[bytes], cuts: list[int], slow: set[int]) -> None:
    async def both() -> None:
        # uvicorn drops the messages that came in one piece with a fault behind them: it gets each frame by itself
        assert await directly(cut(b"".join(talk), cuts), [*slow]) == await by_parser(talk)

    asyncio.run(both())


async def every_cut(talk: bytes) -> None:
    expected = await by_parser([talk])
    for place in range(1, len(talk)):
        assert await directly(cut(talk, [place])) == expected, place
    assert await directly([talk[at : at + 1] for at in range(len(talk))]) == expected


def test_frames_may_be_cut_at_any_byte() -> None:
    talk = [
        Sent(1, b'{"input": [1]}'),
        Sent(2, b"x" * 130, mask=b"\xff\0\x80\7"),
        Sent(PING, b"here?"),
        Sent(1, b"begun ", fin=False),
        Sent(PING, b"still?"),
        Sent(CONT, "and endéd".encode()),
        Sent(1, b""),
        Sent(CLOSE, b"\x03\xe8"),
    ]
    asyncio.run(every_cut(b"".join(map(bytes, talk))))


@pytest.mark.parametrize("slow", [[], [1]])
def test_no_message_is_read_from_the_rest_of_a_faulty_frame(slow: list[int]) -> None:
    too_long = bytes([0x82, 0xFF]) + (2**62).to_bytes(8, "big")
    piece = bytes(Sent(1, b"not a message"))
    said, written, closed = asyncio.run(directly([bytes(Sent(1, b"first")) + too_long[:7], piece], slow))
    assert said == [(TEXT, b"first")]
    assert written[:4] == b"\x88" + written[1:2] + b"\x03\xf1"  # close code 1009
    assert closed


def test_what_comes_before_anybody_listens_is_kept() -> None:
    async def early() -> None:
        streams = StreamServer(Listener())
        protocol, transport = StreamProtocol(configured(nothing, streams), ServerState()), Transport()
        protocol.connection_made(transport)
        protocol.data_received(HEAD)
        message = bytes(Sent(1, b"early")) + bytes(Sent(PING, b"here?"))
        for piece in (message[:5], message[5:]):
            protocol.data_received(piece)
        assert streams.listener.said == []
        for _ in range(4):
            await asyncio.sleep(0)
        assert streams.listener.said == [(TEXT, b"early")]
        assert transport.written.endswith(framed(0x8A, b"here?"))
        streams.over.set()
        protocol.connection_lost(None)
        assert streams.listener.is_lost

    asyncio.run(early())


def test_a_client_that_leaves_before_anybody_listens() -> None:
    async def gone() -> None:
        streams = StreamServer(Listener())
        protocol = StreamProtocol(configured(nothing, streams), ServerState())
        protocol.connection_made(Transport())
        protocol.data_received(HEAD)
        protocol.connection_lost(None)
        before = streams.listener.is_lost
        await asyncio.sleep(0)
        assert (before, streams.listener.is_lost) == (False, True)
        streams.over.set()

    asyncio.run(gone())


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Version: 13", b"Version: 8"), 400),
        ((b"AAAAAAAAAAAAAAAAAAAAAA==", b"AA"), 400),
        ((b"\r\n\r\n", b"\r\nLong: " + bytes(9000).hex().encode() + b"\r\n\r\n"), 431),
    ],
    ids=["another version", "no key", "a long header"],
)
def test_a_handshake_that_the_library_refuses_is_answered(change: tuple[bytes, bytes], status: int) -> None:
    async def refused() -> None:
        protocol, transport = StreamProtocol(configured(nothing), ServerState()), Transport()
        protocol.connection_made(transport)
        protocol.data_received(HEAD.replace(*change))
        assert transport.written.startswith(b"HTTP/1.1 %d " % status)
        assert b"Content-Type: application/problem+json\r\n" in transport.written
        assert transport.written.endswith(b"}\n")
        assert transport.closed
        protocol.connection_lost(None)

    asyncio.run(refused())


def test_a_close_frame_that_is_not_answered_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_protocol, "CLOSE_S", 0.01)
    monkeypatch.setattr(connection_protocol, "LINGER_S", 0.01)

    async def silent() -> None:
        streams = StreamServer(Listener())
        protocol, transport = StreamProtocol(configured(nothing, streams), ServerState()), Transport()
        protocol.connection_made(transport)
        protocol.data_received(HEAD)
        await asyncio.sleep(0)
        await protocol.close(Closing(1012, "stopping"))
        assert transport.written.endswith(b"\x88\x0a" + (1012).to_bytes(2, "big") + b"stopping")
        protocol.data_received(bytes(Sent(1, b"dropped")) + bytes(Sent(PING, b"not answered")))
        assert streams.listener.said == []
        before = transport.closed
        async with asyncio.timeout(10):
            await transport.aborted.wait()
        assert (before, transport.closed) == (False, True)
        assert streams.listener.is_lost
        streams.over.set()
        protocol.connection_lost(None)

    asyncio.run(silent())
