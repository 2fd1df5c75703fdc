"""The WebSocket protocol of the server: uvicorn's on `websockets`, but for whole messages of our streams.

Of the time that a step on a stream took, most went into a parser that reads frames of any kind, two messages of ASGI
and the queue and the tasks between them. Nearly all frames are whole messages: those are read where their bytes come
in, and answers are written as frames. All others (control frames, fragments, whatever is wrong) go to the parser, one
frame at a time, so that it always stands between two of them.
"""

import asyncio
from asyncio import BaseTransport
from collections.abc import Sequence
from http import HTTPStatus
from struct import Struct
from time import monotonic
from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from cellar.api.limits.limits import Load
from cellar.api.websocket.close_codes import Closing, closing_of
from cellar.api.websocket.connection import BINARY, TEXT, Listener, Message
from cellar.errors import Overloaded

try:  # as websockets does itself: where there is no compiler it has an unmasking in Python
    from websockets.speedups import apply_mask
except ImportError:  # pragma: no cover
    from websockets.utils import apply_mask

PING_S = 20.0
"""Between pings, and how long a client may take to answer one: shorter than what usual proxies wait for a sign."""

LINGER_S = 1.0
"""What a client that answers no ping gets to take the close frame."""

EXTENSION = "cellar.stream"
"""In the scope of a WebSocket: its connection, for those who take whole messages."""

WHOLE = (TEXT, BINARY)

KNOWN = frozenset((0x00, 0x01, 0x02, 0x80, TEXT, BINARY, 0x88, 0x89, 0x8A))
"""First bytes of frames that are no fault by themselves: fragments, whole messages, close, ping and pong."""

CONTROL = 0x88
"""From here on they are control frames."""

PING, PONG = 0x89, 0x8A
MOST_CONTROL_BYTES = 125

MASKED = 0x80
MASK_BYTES = 4
HEAD_BYTES = 2 + MASK_BYTES
"""What stands before a short message."""

SHORT, MIDDLE = 126, 65536
"""Sizes from which on the length of a frame takes two bytes more, and eight."""

_MIDDLE, _LONG = Struct(">BBH"), Struct(">BBQ")


def framed(kind: int, payload: bytes) -> bytes:
    """Return a message as one frame of a server."""
    size = len(payload)
    if size < SHORT:
        return bytes((kind, size)) + payload
    head = _MIDDLE.pack(kind, 126, size) if size < MIDDLE else _LONG.pack(kind, 127, size)
    return head + payload


class _Events(asyncio.Queue[ASGIReceiveEvent]):
    """What uvicorn tells an application. Who listens is told at once that nobody is there any more."""

    listener: Listener | None = None

    def put_nowait(self, item: ASGIReceiveEvent) -> None:
        super().put_nowait(item)
        if self.listener is not None and item["type"] == "websocket.disconnect":
            self.listener.lost()


class StreamProtocol(WebSocketsSansIOProtocol):
    """One connection. It gives up clients that have vanished.

    Closing a connection waits until all is written, and a client that reads nothing lets nothing be written: what
    waits for it would wait for as long as the system believes in the connection.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.full = False
        self._events = self.queue = _Events()
        self._listener: Listener | None = None
        self._whole = True
        """Whether the parser stands between two frames."""
        self._taking = False
        self._held = bytearray()
        self._wanted = 0
        """Bytes that must be held before there is something to hand on."""
        app: Any = self.config.app
        self._load: Load = app.state.load
        self._share = self._load.bodies.share()
        """Of the memory for messages that are not all there."""
        self._queued = False
        """Whether what is held is handed on when this connection's turn comes round."""
        self._owed: bytes | None = None
        """What the last ping said that is not answered, because the client takes nothing."""
        self._most: int = self.config.ws_max_size

    # --- the connection as a socket knows it --------------------------------------------------------------------------

    def open(self, listener: Listener) -> None:
        """Tell the listener from here on. Messages come once `resume` is called."""
        self._listener = self._events.listener = listener

    def resume(self) -> None:
        """Let messages come, first those that are held."""
        self._taking = True
        if not self._queued:
            self._take_held(self._load.round_robin.until_s())

    def write(self, messages: Sequence[Message]) -> None:
        """Write messages, if anybody is there."""
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing():
            return
        if len(messages) == 1:
            transport.write(framed(*messages[0]))
        else:
            transport.write(b"".join([framed(kind, payload) for kind, payload in messages]))

    async def close(self, closing: Closing) -> None:
        """Close once all is written. Raise OSError if nobody is there any more."""
        await self.send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
        if not self._queued:  # the client's own close frame may be among what is held
            self._take_held(self._load.round_robin.until_s())

    def end(self) -> None:
        """Hand on nothing any more."""
        self._events.listener = None

    # --- what comes ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: BaseTransport) -> None:
        """Count the connection."""
        self._load.streams += 1
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what is held."""
        self._load.streams -= 1
        self._held.clear()
        self._share.release()
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        """Offer the connection to the application."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["extensions"][EXTENSION] = {"connection": self}

    def data_received(self, data: bytes) -> None:
        """Take bytes. The parser has all of them before the handshake is over, and after our own close frame."""
        listener, size = self._listener, len(data) - HEAD_BYTES
        if listener is None:
            if self.handshake_initiated:  # too early: the parser may be inside a frame when somebody listens
                self.scope["extensions"].pop(EXTENSION, None)
            super().data_received(data)
        elif not self._whole:
            super().data_received(data)
        elif self._held:
            self._held += data
            self._account()
            if not self._queued and len(self._held) >= self._wanted:
                self._take_held(self._load.round_robin.until_s())
        elif 0 <= size < SHORT and size == data[1] - MASKED and self._takes(data[0], size):  # nearly always
            self._load.round_robin.single += 1
            self._taking = listener.take(apply_mask(data[HEAD_BYTES:], data[2:HEAD_BYTES]), data[0])
        else:
            self._read(data, self._load.round_robin.until_s())

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to its message, in one piece: there may be as many as there are bytes, and empty ones too."""
        pieces: list[Any] = self.frames
        if not isinstance(pieces[0], bytearray):
            pieces[0] = bytearray(pieces[0])
        pieces[0] += event.data
        if event.fin:
            pieces[0] = bytes(pieces[0])
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Hand on a message that came in fragments."""
        if self._listener is None:
            return super().send_receive_event_to_app()
        message, self.frames = b"".join(self.frames), []
        if not self.close_sent:
            self._taking = self._listener.take(message, TEXT if self.curr_msg_data_type == "text" else BINARY)
        return None

    def _take_held(self, until_s: float) -> None:
        """Hand on what is held, and go on reading if another message may come."""
        self._queued = False
        if self.disconnected:
            return
        if self._held:
            self._read(self._held, until_s)
        if (self._taking or self.close_sent) and not self._queued and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def _read(self, data: bytes | bytearray, until_s: float) -> None:
        """Hand on the frames that are whole until then, those of several messages together, and hold the rest."""
        assert self._listener is not None
        with self._listener.together():
            at = self._read_frames(data, until_s)
        if data is self._held:
            del self._held[:at]
        elif at < len(data):
            self._held += memoryview(data)[at:]
        self._account()
        if self._queued or (self._held and not self._taking and not self.close_sent):
            self._pause()

    def _read_frames(self, data: bytes | bytearray, until_s: float) -> int:
        """Hand on the frames that are whole, and return where the rest begins. When the time is over, ask for more."""
        assert self._listener is not None
        at, end = 0, len(data)
        self._wanted = 0
        while end - at >= 2:
            kind, size, start = data[at], data[at + 1] - MASKED, at + 2 + MASK_BYTES
            if size >= SHORT:
                wide = 2 if size == SHORT else 8
                size, start = int.from_bytes(data[at + 2 : at + 2 + wide], "big"), start + wide
            if size < 0 or size > self._most or kind not in KNOWN:
                self._whole = False  # the parser says what is wrong, and is never whole again
                super().data_received(bytes(data[at:]))
                return end
            stop = start + size
            if stop > end:
                self._wanted = stop - at
                break
            if kind < CONTROL and not (self._taking or self.close_sent):
                break
            if monotonic() >= until_s:
                self._queued = True
                self._load.round_robin.add(self._take_held)
                break
            self._take_frame(kind, data, at, start, stop)
            if self.transport.is_closing():
                return end
            at = stop
        return at

    def _account(self) -> None:
        """Say what is held. Where all connections together hold too much, this one ends."""
        try:
            self._share.resize(len(self._held) + sum(map(len, self.frames)))
        except Overloaded as error:
            self._whole, self._taking = False, False
            self._held.clear()
            self.frames.clear()
            self.conn.fail(*closing_of(error))
            self.handle_parser_exception()

    def _take_frame(self, kind: int, data: bytes | bytearray, at: int, start: int, stop: int) -> None:
        """Hand on a frame. Behind our own close frame only the client's means anything."""
        assert self._listener is not None
        if kind == PING and stop - start <= MOST_CONTROL_BYTES:
            self._answer_ping(apply_mask(data[start:stop], data[start - MASK_BYTES : start]))
        elif kind < CONTROL and self.close_sent:
            return
        elif kind in WHOLE and self.conn.current_size is None:
            self._taking = self._listener.take(apply_mask(data[start:stop], data[start - MASK_BYTES : start]), kind)
        else:
            super().data_received(bytes(data[at:stop]))

    def _answer_ping(self, said: bytes) -> None:
        """Answer a ping. A client that takes nothing is owed the answer to its last one (RFC 6455, 5.5.3)."""
        if self.full:
            self._owed = said
        elif not self.close_sent and not self.transport.is_closing():
            self.transport.write(framed(PONG, said))

    def _takes(self, kind: int, size: int) -> bool:
        """Return whether a frame is a whole message that may be taken now."""
        fits = kind in WHOLE and size <= self._most
        return self._taking and fits and not self.close_sent and self.conn.current_size is None

    def _pause(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    # --- what goes ----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Hear that the client takes answers slower than they are written."""
        super().pause_writing()
        self.full = True

    def resume_writing(self) -> None:
        """Hear that it has taken some."""
        super().resume_writing()
        self.full = False
        if self._owed is not None:
            owed, self._owed = self._owed, None
            self._answer_ping(owed)
        if self._listener is not None:
            self._listener.eased()

    def keepalive_timeout(self) -> None:
        """Say why, close, and shortly after give up the connection."""
        super().keepalive_timeout()
        self.loop.call_later(LINGER_S, self.transport.abort)
