"""One FIFO connection to a Redis.

Commands of a call are packed into one write and the replies come back in order, so that two calls never overtake each
other: over a pool they would, and the later of two commits would be compared first. Nothing is ever sent twice here;
a caller that knows how to recognise its own command sends it again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

from cellar.store.connect import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, Address, lost, refusal
from cellar.store.resp import Command, Reply, ReplyError, ReplyParser, pack


class Link:
    """A connection that is made when it is needed and made again when it was lost."""

    def __init__(
        self,
        address: Address,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self._address = address
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        """Send all commands in one write and return their replies, a ReplyError where Redis refused one.

        Raise StoreUnavailable: outcome `not_applied` if nothing was sent, `unknown` if the connection was lost, or
        was given up, before all replies had come.
        """
        wire = self._wire
        if wire is None or wire.closed:
            wire = await self._connected()
        return await wire.send(commands, self._reply_timeout_s)

    def drop(self) -> None:
        """Give the connection up; the next call makes a fresh one."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    async def aclose(self) -> None:
        """Close the connection. Calls under way end with an unknown outcome."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()
            await wire.gone

    async def _connected(self) -> "_Wire":
        # all callers wait for the same attempt, and one that goes away does not end it for the others
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name=f"connect {self._address}")
            self._connecting.add_done_callback(self._connect_done)
        return await asyncio.shield(self._connecting)

    def _connect_done(self, task: asyncio.Task["_Wire"]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._wire = task.result()

    async def _connect(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        where = self._address
        wire = _Wire(loop)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if where.path is not None:
                    await loop.create_unix_connection(lambda: wire, where.path)
                else:
                    await loop.create_connection(lambda: wire, where.host, where.port, ssl=where.tls)
                await self._introduce(wire)
        except (OSError, TimeoutError) as error:
            wire.abort()
            raise lost("not_applied") from error
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _introduce(self, wire: "_Wire") -> None:
        where = self._address
        commands: list[Command] = [(b"CLIENT", b"SETNAME", b"cellar")]
        if where.db:
            commands.insert(0, (b"SELECT", b"%d" % where.db))
        if where.password is not None:
            user = [] if where.username is None else [where.username.encode()]
            commands.insert(0, [b"AUTH", *user, where.password.encode()])
        for reply in (await wire.send(commands, self._connect_timeout_s))[:-1]:  # a name is not worth a failure
            if isinstance(reply, ReplyError):
                raise refusal(str(reply)) or lost("not_applied")


class _Call:
    """A call whose replies have not all come."""

    __slots__ = ("count", "future", "replies", "timer")

    def __init__(self, count: int, future: asyncio.Future[list[Reply]], timer: asyncio.TimerHandle) -> None:
        self.count = count
        self.future = future
        self.timer = timer
        self.replies: list[Reply] = []


class _Wire(asyncio.Protocol):
    """One connection from its making to its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._calls: deque[_Call] = deque()
        self.closed = False
        self.gone: asyncio.Future[None] = loop.create_future()

    def send(self, commands: Sequence[Command], timeout_s: float) -> asyncio.Future[list[Reply]]:
        """Write the commands; the future has their replies, or fails with StoreUnavailable."""
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        if self._transport is None or self.closed:
            future.set_exception(lost("not_applied"))
            return future
        timer = self._loop.call_later(timeout_s, self.abort)
        self._calls.append(_Call(len(commands), future, timer))
        self._transport.write(pack(commands))
        return future

    def abort(self) -> None:
        """Close at once. Replies that have not come never will: their order would be lost with one of them."""
        self._end()
        if self._transport is not None:
            self._transport.abort()
        elif not self.gone.done():
            self.gone.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless it was given up meanwhile."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from asyncio's
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give the replies that are complete to the calls that wait, in their order."""
        try:
            replies = self._parser.feed(data)
        except ValueError:
            return self.abort()
        for reply in replies:
            if not self._calls:
                return self.abort()
            call = self._calls[0]
            call.replies.append(reply)
            if len(call.replies) == call.count:
                self._calls.popleft()
                call.timer.cancel()
                if not call.future.done():
                    call.future.set_result(call.replies)
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio names the argument
        """End the calls that wait: what became of their commands is unknown."""
        self._end()
        if not self.gone.done():
            self.gone.set_result(None)

    def _end(self) -> None:
        self.closed = True
        calls, self._calls = self._calls, deque()
        for call in calls:
            call.timer.cancel()
            if not call.future.done():
                call.future.set_exception(lost("unknown"))
