"""Hints: one connection on which Redis tells which sessions have changed.

A commit of a session that may be watched says so on a channel of its own (`commits.py`), and so does its end. That is
told to whoever listens just then, and to nobody later: a hint is a reason to look, and nothing depends on it. In a
cluster every node tells what was said on any of them, so a connection to one is enough.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cellar.errors import CellarError
from cellar.store.address import Address
from cellar.store.connect import CONNECT_TIMEOUT_S, lost
from cellar.store.resp import Command, ReplyError, ReplyParser, pack

Find = Callable[[], Awaitable[Address]]
"""Return where to listen. Raise StoreUnavailable."""

QUIET_S = 10.0
"""A connection that was silent for so long is asked whether it lives, and given up when it is silent once more."""

PAUSE_S = 0.5
"""Before a connection that was lost is made again."""


class Hints:
    """Listens to channels. There is a connection as soon as there is one to listen to."""

    def __init__(self, find: Find, *, quiet_s: float = QUIET_S) -> None:
        self._find = find
        self._quiet_s = quiet_s
        self._channels: set[bytes] = set()
        self._heard: set[bytes] = set()
        self._news = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    def follow(self, channel: bytes) -> None:
        """Listen to a channel. As soon as that is so it counts as heard, for what was said before."""
        self._channels.add(channel)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="hints")
        self._say(b"SUBSCRIBE", channel)

    def unfollow(self, channel: bytes) -> None:
        """Listen to a channel no more."""
        self._channels.discard(channel)
        self._heard.discard(channel)
        self._say(b"UNSUBSCRIBE", channel)

    async def heard(self) -> set[bytes]:
        """Wait until something is said, and return the channels on which it was."""
        await self._news.wait()
        self._news.clear()
        heard, self._heard = self._heard, set()
        return heard

    async def aclose(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _say(self, *command: bytes) -> None:
        if self._writer is not None:
            self._writer.write(pack([command]))

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (OSError, ValueError, ReplyError, CellarError):  # the sessions are looked at meanwhile, now and then
                await asyncio.sleep(PAUSE_S)

    async def _listen(self) -> None:
        where = await self._find()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            if where.path is not None:
                reader, writer = await asyncio.open_unix_connection(where.path)
            else:
                reader, writer = await asyncio.open_connection(where.host, where.port, ssl=where.tls)
        try:
            writer.write(pack([*_introduction(where), *((b"SUBSCRIBE", channel) for channel in self._channels)]))
            self._writer = writer
            await self._hear(reader)
        finally:
            self._writer = None
            writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        parser, asked = ReplyParser(), False
        while True:
            try:
                async with asyncio.timeout(self._quiet_s):
                    data = await reader.read(65536)
            except TimeoutError:
                if asked:
                    raise lost("not_applied") from None
                asked = True
                self._say(b"PING")
                continue
            if not data:
                raise lost("not_applied")
            asked = False
            for reply in parser.feed(data):
                self._take(reply)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            raise reply
        match reply:
            case [b"message" | b"subscribe", bytes(channel), _] if channel in self._channels:
                self._heard.add(channel)
                self._news.set()


def _introduction(where: Address) -> list[Command]:
    commands: list[Command] = []
    if where.password is not None:
        user = [] if where.username is None else [where.username.encode()]
        commands.append([b"AUTH", *user, where.password.encode()])
    commands.append((b"CLIENT", b"SETNAME", b"cellar-hints"))
    return commands
