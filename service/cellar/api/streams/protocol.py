"""The WebSocket protocol of the server: uvicorn's on `websockets`, but for whole messages of our streams.

Of the time that a step on a stream took, most went into a parser that reads frames of any kind, two messages of ASGI
and the queue and the tasks between them. Nearly all frames are whole messages: those are read where their bytes come
in, and answers are written as frames. All others (control frames, fragments, whatever is wrong) go to the parser, one
frame at a time, so that it always stands between two of them.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from struct import Struct
from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from cellar.api.streams.closing import Closing
from cellar.api.streams.connection import BINARY, TEXT, Listener, Message

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
        self._most: int = self.config.ws_max_size

    # --- the connection as a socket knows it --------------------------------------------------------------------------

    def open(self, listener: Listener) -> None:
        """Tell the listener from here on. Messages come once `resume` is called."""
        self._listener = self._events.listener = listener

    def resume(self) -> None:
        """Let messages come, first those that are held."""
        self._taking = True
        if self._held:
            self._read(self._release())
        if self._taking and self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

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
        if self._held:  # the client's own close frame may be among it
            super().data_received(self._release())

    def end(self) -> None:
        """Hand on nothing any more."""
        self._events.listener = None

    # --- what comes ---------------------------------------------------------------------------------------------------

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
        elif self.close_sent or not self._whole:
            super().data_received(data)
        elif self._held:
            self._held += data
            if len(self._held) >= self._wanted:
                self._read(self._release())
        elif 0 <= size < SHORT and size == data[1] - MASKED and self._takes(data[0], size):  # nearly always
            self._taking = listener.take(apply_mask(data[HEAD_BYTES:], data[2:HEAD_BYTES]), data[0])
        else:
            self._read(data)

    def send_receive_event_to_app(self) -> None:
        """Hand on a message that came in fragments."""
        if self._listener is None:
            return super().send_receive_event_to_app()
        message, self.frames = b"".join(self.frames), []
        if not self.close_sent:
            self._taking = self._listener.take(message, TEXT if self.curr_msg_data_type == "text" else BINARY)
        return None

    def _read(self, data: bytes, *, together: bool = False) -> None:
        """Hand on the frames that are whole, and hold the rest. Those of several messages are handed on together."""
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
                return super().data_received(data[at:])
            stop = start + size
            if stop > end:
                self._wanted = stop - at
                break
            if stop < end and not together:
                with self._listener.together():
                    return self._read(data[at:], together=True)
            if kind < CONTROL and not self._taking:
                break
            if kind in WHOLE and self.conn.current_size is None:
                self._taking = self._listener.take(apply_mask(data[start:stop], data[start - MASK_BYTES : start]), kind)
            else:
                super().data_received(data[at:stop])
                if self.close_sent or self.transport.is_closing():
                    return None
            at = stop
        if at < end:
            self._held += data[at:]
            if not self._taking:
                self._pause()
        return None

    def _takes(self, kind: int, size: int) -> bool:
        """Return whether a frame is a whole message that may be taken now."""
        return self._taking and kind in WHOLE and size <= self._most and self.conn.current_size is None

    def _release(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held

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
        if self._listener is not None:
            self._listener.eased()

    def keepalive_timeout(self) -> None:
        """Say why, close, and shortly after give up the connection."""
        super().keepalive_timeout()
        self.loop.call_later(LINGER_S, self.transport.abort)
