"""A WebSocket connection under any ASGI server, which passes messages to and from an application one by one."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from starlette.types import Receive, Send

from cellar.api.websocket.close_codes import Closing
from cellar.api.websocket.connection.interface import BINARY, TEXT, Listener, Message

MOST_WAITING = 64
"""Messages that wait for the server to take them, beyond which no more are read."""


class AsgiConnection:
    """A connection made of the two callables of ASGI."""

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
        """Whether the client reads answers more slowly than they are written."""
        return len(self._written) > MOST_WAITING

    def open(self, listener: Listener) -> None:
        """Set the listener. It gets messages after the first `resume`."""
        works: tuple[Coroutine[Any, Any, None], ...] = (self._read(listener), self._write(listener))
        self._tasks = [asyncio.create_task(work, name="stream") for work in works]

    def resume(self) -> None:
        """Let the listener have messages."""
        self._room.set()

    def write(self, messages: Sequence[Message]) -> None:
        """Queue messages for the task that writes them."""
        self._written += messages
        self._emptied.clear()
        self._wake.set()

    async def close(self, closing: Closing) -> None:
        """Send a close frame once all is written, or the connection is lost. Raise OSError."""
        if self._written:
            await self._emptied.wait()
        await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    def end(self) -> None:
        """Cancel both tasks."""
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
