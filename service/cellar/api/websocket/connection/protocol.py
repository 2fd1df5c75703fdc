"""The WebSocket protocol that uvicorn is given as `ws=`: it converts the bytes of a connection to messages and back.

The handshake, control frames, fragments and faulty frames are left to the parser of the library `websockets`, which
does no I/O. Nearly all frames are whole messages. They are read here, because the parser takes 4.2 us for a short one,
a tenth of the CPU time of a step on a stream, and this protocol 0.5 us. The parser gets one frame at a time, so that it
is always between two frames when a message is read here.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import uvicorn
from websockets.frames import Frame, Opcode
from websockets.protocol import SEND_EOF

from cellar.api.limits.limits import Load
from cellar.api.limits.unread_answers import UnreadAnswers
from cellar.api.websocket.close_codes import Closing, closing_of
from cellar.api.websocket.connection.frame_codec import (
    CONTROL,
    HEAD_BYTES,
    KNOWN,
    MASK_BYTES,
    WHOLE,
    WHOLE_FRAME,
    framed,
    payload_place,
    unmasked,
)
from cellar.api.websocket.connection.handshake import new_parser, shake_hands
from cellar.api.websocket.connection.interface import Listener, Message, NoListener, StreamServer
from cellar.api.websocket.connection.keep_alive import KeepAlive
from cellar.errors import Overloaded

logger = logging.getLogger(__name__)

LINGER_S, CLOSE_S = 1.0, 10.0
"""Times that a client has: to answer, until its unsent bytes are dropped; to answer a close frame."""

SINGLE_BYTES = 1024
"""Largest message that is passed on without a look at the time: one step. CELLAR_MAX_BODY_BYTES is not smaller."""


class StreamProtocol(asyncio.Protocol):
    """One connection, from its handshake on, with the methods of `interface.Connection`."""

    def __init__(self, config: uvicorn.Config, server_state: Any, **_app_state: Any) -> None:
        app: Any = config.app
        self._streams: StreamServer = app.state.streams
        self._load: Load = app.state.load
        self._connections: set[Any] = server_state.connections
        """The connections of the server, for which uvicorn waits when it stops."""
        self._loop = asyncio.get_running_loop()
        self._most = config.ws_max_size
        self._parser = new_parser(self._most)
        self._keep_alive = KeepAlive(self._loop, config.ws_ping_interval, self._ping, self._give_up)
        self._serving: asyncio.Task[None] | None = None
        """The task of the socket; None before the handshake."""
        self._listener: Listener = NoListener()
        self.full = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._taking = False
        """Whether the listener takes another message."""
        self._closing = False
        """Whether nothing more is written, because our close frame was sent or the connection is over."""
        self._over = False
        """Whether nothing more is read either."""
        self._faulty = False
        """Whether the parser has the beginning of a faulty frame, and gets all bytes that follow."""
        self._close_timer: asyncio.TimerHandle | None = None
        self._held = bytearray()
        """Received bytes that are not passed on yet."""
        self._wanted = 0
        """Bytes that must be held before a frame is complete."""
        self._fragments: bytearray | None = None
        """The received fragments of a message, joined."""
        self._fragments_kind = 0
        self._share = self._load.memory.reservation()
        """The memory of messages that are not complete."""
        self._queued = False
        """Whether the connection waits in the round-robin queue."""
        self._paused = False
        """Whether the transport is not read."""
        self._owed: bytes | None = None
        """The answer to the last ping, while the client reads nothing."""

    # --- the connection as a socket knows it --------------------------------------------------------------------------

    def open(self, listener: Listener) -> None:
        """Set the listener. It gets messages after the first `resume`."""
        self._listener = listener
        if self._over:
            listener.lost()

    def resume(self) -> None:
        """Pass messages to the listener, first those that are held."""
        self._taking = not (self._closing or self._faulty)
        if not self._queued:
            self._take_held(self._load.round_robin.until_s())

    def write(self, messages: Sequence[Message]) -> None:
        """Write messages, unless the connection is closed."""
        if self._closing or self.transport.is_closing():
            return
        if len(messages) == 1:
            self.transport.write(framed(*messages[0]))
        else:
            self.transport.write(b"".join([framed(kind, payload) for kind, payload in messages]))

    async def close(self, closing: Closing) -> None:
        """Send a close frame once the client reads what was written. Do nothing if the connection was lost."""
        await self._writable.wait()
        if self._closing or self.transport.is_closing():
            return
        self._parser.send_close(*closing)
        self._send()
        self._closing, self._taking = True, False
        self._close_timer = self._loop.call_later(CLOSE_S, self._abandon)
        if not self._queued:  # the held bytes may have the client's close frame
            self._take_held(self._load.round_robin.until_s())

    def end(self) -> None:
        """Release the listener."""
        self._listener, self._taking = NoListener(), False

    # --- the connection as asyncio and uvicorn know it ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvloop's is no subclass
        """Count the connection."""
        self.transport = transport
        self._untaken = UnreadAnswers(self._loop, transport, self._load.memory)
        self._load.streams += 1
        self._connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """End the connection and its timers."""
        self._load.streams -= 1
        self._connections.discard(self)
        self._keep_alive.stop()
        self._untaken.end()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._finish()
        self._writable.set()

    def shutdown(self) -> None:
        """Close the connection. uvicorn calls this when it stops, if the socket has not ended in time."""
        if not self._closing:
            self._parser.send_close(1012)
            self._send()
        self._finish()

    def pause_writing(self) -> None:
        """The client reads answers more slowly than they are written."""
        self.full = True
        self._untaken.begin(self._load.limits.stream_idle_s, 1)
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read most of what was written."""
        self.full = False
        self._untaken.end()
        self._writable.set()
        if self._owed is not None:
            owed, self._owed = self._owed, None
            if not self._closing and not self.transport.is_closing():
                self.transport.write(owed)
        self._listener.eased()

    def data_received(self, data: bytes) -> None:
        """Read bytes: nearly always a single whole message, for which nothing must be held, joined or shared."""
        start, size = payload_place(data, 0) if len(data) >= HEAD_BYTES else (0, -1)
        if (
            0 <= size <= SINGLE_BYTES
            and start + size == len(data)
            and self._taking
            and data[0] in WHOLE
            and self._fragments is None
            and not self._held
        ):
            self._load.round_robin.single += 1
            self._taking = self._listener.take(unmasked(data[start:], data[start - MASK_BYTES : start]), data[0])
        elif self._serving is None:
            self._shake_hands(data)
        elif self._faulty:
            self._parse(data)
        elif self._held:
            self._held += data
            self._account()
            if not self._queued and len(self._held) >= self._wanted:
                self._take_held(self._load.round_robin.until_s())
        else:
            self._read(data, self._load.round_robin.until_s())

    # --- the handshake ------------------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> None:
        """Answer the handshake, and start the task of the socket."""
        scope = shake_hands(self._parser, data, self._streams)
        if scope is not None:
            self._keep_alive.start()
            self._serving = self._loop.create_task(self._streams.serve(scope, self), name="stream")
            self._serving.add_done_callback(self._served)
        self._send()

    def _served(self, serving: "asyncio.Task[None]") -> None:
        """End the connection if the socket has ended without a close frame."""
        error = None if serving.cancelled() else serving.exception()
        if error is not None:
            logger.error("a stream has failed", exc_info=error)
        if self._close_timer is None:
            self._finish()

    # --- frames -------------------------------------------------------------------------------------------------------

    def _take_held(self, until_s: float) -> None:
        """Pass on held messages, and read the transport again if the listener takes more."""
        self._queued = False
        if self._held:
            self._read(self._held, until_s)
        is_read = self._taking or self._closing or self._faulty
        if self._paused and is_read and not (self._queued or self._over):
            self._paused = False
            self.transport.resume_reading()

    def _read(self, data: bytes | bytearray, until_s: float) -> None:
        """Pass on complete frames until this time, as messages received together, and hold the rest."""
        if self._over:
            return
        with self._listener.together():
            at = self._read_frames(data, until_s)
        if data is self._held:
            del self._held[:at]
        elif at < len(data):
            self._held += memoryview(data)[at:]
        self._account()
        if (self._queued or (self._held and not self._taking and not self._closing)) and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _read_frames(self, data: bytes | bytearray, until_s: float) -> int:
        """Pass on complete frames and return where the rest begins. When the time is over, join the queue."""
        at, end = 0, len(data)
        self._wanted = 0
        while end - at >= 2:
            kind = data[at]
            start, size = payload_place(data, at)
            if size < 0 or size > self._most or kind not in KNOWN:
                self._faulty, self._taking = True, False
                self._parse(bytes(data[at:]))
                return end
            stop = start + size
            if stop > end:
                self._wanted = stop - at
                break
            if kind < CONTROL and not (self._taking or self._closing):
                break
            if monotonic() >= until_s:
                self._queued = True
                self._load.round_robin.add(self._take_held)
                break
            if kind >= CONTROL or not self._closing:
                self._take_frame(kind, data, at, start, stop)
            if self._over:
                return end
            at = stop
        return at

    def _take_frame(self, kind: int, data: bytes | bytearray, at: int, start: int, stop: int) -> None:
        """Pass a whole message to the listener, and any other frame to the parser."""
        if kind in WHOLE and self._fragments is None:
            self._taking = self._listener.take(unmasked(data[start:stop], data[start - MASK_BYTES : start]), kind)
        else:
            self._parse(bytes(data[at:stop]))

    def _parse(self, data: bytes) -> None:
        """Pass a frame, or faulty bytes, to the parser, and handle what it returns."""
        self._parser.receive_data(data)
        for frame in self._parser.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.PONG:
                self._keep_alive.pong(bytes(frame.data))
            elif frame.opcode is Opcode.PING and self.full:  # only the last ping is answered (RFC 6455, 5.5.3)
                self._owed = b"".join(self._parser.data_to_send())
            elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take_fragment(frame)
        self._send()

    def _take_fragment(self, frame: Frame) -> None:
        """Append a fragment to its message. They are joined at once, because there may be any number of empty ones."""
        if self._fragments is None:
            self._fragments, self._fragments_kind = bytearray(), WHOLE_FRAME | frame.opcode
        self._fragments += frame.data
        if frame.fin:
            message, self._fragments = bytes(self._fragments), None
            self._taking = self._listener.take(message, self._fragments_kind)

    def _account(self) -> None:
        """Count the held bytes as memory. If all connections together hold too much, this one ends."""
        try:
            self._share.resize(len(self._held) + len(self._fragments or b""))
        except Overloaded as error:
            self._fail(closing_of(error))

    # --- the end ------------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send the output of the parser. After our close frame only the end of the connection counts."""
        output = self._parser.data_to_send()
        if not self._closing and not self.transport.is_closing():
            self.transport.write(b"".join(output))
        if SEND_EOF in output:
            self._finish()

    def _fail(self, closing: Closing) -> None:
        """End the connection with a close frame, whose answer is not waited for."""
        self._parser.fail(*closing)
        self._send()

    def _finish(self) -> None:
        """Stop reading and writing. The transport closes once all is sent."""
        if self._over:
            return
        self._over = self._closing = True
        self._taking = False
        self._held.clear()
        self._fragments = None
        self._share.release()
        self._listener.lost()
        self.transport.close()

    def _abandon(self) -> None:
        """End the connection to a client that does not answer, even if it does not read what was sent."""
        self._finish()
        self._loop.call_later(LINGER_S, self.transport.abort)

    def _ping(self, payload: bytes) -> None:
        if not self._closing:
            self._parser.send_ping(payload)
            self._send()

    def _give_up(self) -> None:
        """Close the connection to a client that has not answered a ping."""
        self._fail(Closing(1011, "keepalive ping timeout"))
        self._abandon()
