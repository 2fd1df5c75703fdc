"""What a socket needs of its connection, and the connection that every ASGI server gives."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from starlette.types import Receive, Send

from cellar.api.websocket.close_codes import Closing

TEXT, BINARY = 0x81, 0x82
"""Kinds of messages, as the first byte of a frame says them that is a whole message."""

Message = tuple[int, bytes]
"""A kind and a payload."""

MOST_WAITING = 64
"""Messages that wait to be taken by a server, beyond which no more are read."""


class Listener(Protocol):
    """Who is told what comes. Nothing here raises."""

    def take(self, payload: bytes, kind: int) -> bool:
        """Take a message. Return whether another may come, else it may once `Connection.resume` is called."""

    def together(self) -> AbstractContextManager[None]:
        """Hear, in here, of messages that came at once."""
        ...

    def lost(self) -> None:
        """Hear that nobody is there any more."""

    def eased(self) -> None:
        """Hear that the connection is not `full` any more."""


class Connection(Protocol):
    """One WebSocket after its handshake."""

    @property
    def full(self) -> bool:
        """Whether the client takes answers slower than they are written. What must be written still may be."""

    def open(self, listener: Listener) -> None:
        """Tell the listener from here on. Messages come once `resume` is called."""

    def resume(self) -> None:
        """Let messages come."""

    def write(self, messages: Sequence[Message]) -> None:
        """Write messages, if anybody is there."""

    async def close(self, closing: Closing) -> None:
        """Close once all is written. Raise OSError if nobody is there any more."""

    def end(self) -> None:
        """Let go of all that served it."""


class AsgiConnection:
    """The connection of a server that knows no other way than messages."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._written: list[Message] = []
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._room = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def full(self) -> bool:
        """Whether the client takes answers slower than they are written."""
        return len(self._written) > MOST_WAITING

    def open(self, listener: Listener) -> None:
        """Tell the listener from here on. Messages come once `resume` is called."""
        works: tuple[Coroutine[Any, Any, None], ...] = (self._read(listener), self._write(listener))
        self._tasks = [asyncio.create_task(work, name="stream") for work in works]

    def resume(self) -> None:
        """Let messages come."""
        self._room.set()

    def write(self, messages: Sequence[Message]) -> None:
        """Let messages be written."""
        self._written += messages
        self._emptied.clear()
        self._wake.set()

    async def close(self, closing: Closing) -> None:
        """Close once all is written, or nobody takes it. Raise OSError."""
        if self._written:
            await self._emptied.wait()
        await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    def end(self) -> None:
        """Let go of both tasks."""
        for task in self._tasks:
            task.cancel()

    async def _read(self, listener: Listener) -> None:
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                await self._room.wait()
                data = message.get("bytes")
                self._room.clear()
                if listener.take(message["text"].encode(), TEXT) if data is None else listener.take(data, BINARY):
                    self._room.set()
        finally:
            listener.lost()

    async def _write(self, listener: Listener) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._written:
                    kind, payload = self._written[0]
                    said = {"bytes": payload} if kind == BINARY else {"text": payload.decode()}
                    await self._send({"type": "websocket.send", **said})
                    del self._written[0]
                self._emptied.set()
                listener.eased()
        except OSError:  # what servers raise when the client has gone
            listener.lost()
        finally:
            self._emptied.set()
