"""One FIFO connection to a Redis server.

The commands of a call are sent in one write and their replies arrive in order, so two calls never overtake each other.
Over a pool of connections they would, and the later of two commits could be compared first. A command is never sent
twice here: the caller decides whether it may be repeated.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from cellar.errors import StoreUnavailable
from cellar.store.connection import outages, requirements, rights
from cellar.store.connection.router import CommandReplies, ReplyCallback, Router, Wait
from cellar.store.connection.transaction import LEAST, grouped, ungrouped
from cellar.store.protocol.errors import CONNECT_TIMEOUT_S, FULL, REPLY_TIMEOUT_S, lost, refusal, refusal_code
from cellar.store.protocol.framing import PendingReply, RedisProtocol
from cellar.store.protocol.resp import Command, EncodedCommand, Reply, ReplyError, pack
from cellar.store.protocol.url import Address

logger = logging.getLogger(__name__)


class RedisConnection:
    """A connection that is made with the first command, and again after it was lost. Implements `Router`.

    `find` returns the address of the primary each time that a connection is made, and the server must confirm that it
    is a primary; without `find` the address is fixed. With `probe`, a key of the service, the rights of the Redis user
    are checked each time as well (`rights.py`).
    """

    def __init__(
        self,
        address: Address,
        *,
        find: Callable[[], Awaitable[Address]] | None = None,
        probe: bytes | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        reply_timeout_s: float = REPLY_TIMEOUT_S,
    ) -> None:
        self.fails_over = find is not None
        self._address = address
        self._find = find
        self._probe = probe
        self._connect_timeout_s = connect_timeout_s
        self._reply_timeout_s = reply_timeout_s
        self._wire: RedisProtocol | None = None
        self._connecting: asyncio.Task[RedisProtocol] | None = None
        self._waiting: list[PendingReply] = []

    async def call(self, commands: Sequence[Command]) -> list[Reply]:
        """Send all commands in one write and return their replies, a ReplyError where Redis refused one.

        Raise StoreUnavailable: outcome `not_applied` if nothing was sent, `unknown` if the connection was lost, or
        was given up, before all replies had come.
        """
        try:
            return await self._call(commands, 0)
        except ReplyError as error:
            raise refusal(str(error)) or lost("not_applied") from error

    async def send(
        self,
        commands: Sequence[Command | EncodedCommand],
        *,
        before: Sequence[Command] = (),
        wait: Wait | None = None,
        in_order: bool = False,  # noqa: ARG002  # one connection keeps the order
        together: bool = False,
    ) -> CommandReplies:
        """Send all commands in one write; see `Router.send`."""
        count = len(commands)
        sent = [*before, *(grouped(commands) if together else commands)]
        if wait is not None:
            sent.append((b"WAIT", b"%d" % wait.replicas, b"%d" % wait.timeout_ms))
        try:
            replies = await self._call(sent, 0 if wait is None else wait.timeout_ms / 1000)
        except (StoreUnavailable, ReplyError) as error:  # a server that refuses the connection refuses every command
            return CommandReplies([error] * count, [0] * count if wait else ())
        copies = replies.pop() if wait else None
        found = _each(replies[len(before) :], count, together=together)
        return CommandReplies(list(found), [copies if isinstance(copies, int) else 0] * count if wait else ())

    def post(
        self,
        commands: Sequence[EncodedCommand],
        key: Callable[[int], bytes],  # noqa: ARG002  # all keys are on this server
        on_replies: ReplyCallback,
        *,
        together: bool = True,
    ) -> None:
        """Send all commands in one write, `together` or each by itself; see `Router.post`."""
        count = len(commands)
        together = together and count >= LEAST
        sent = grouped(commands) if together else commands
        then = partial(_on_replies, on_replies, count, together)
        self._begin(PendingReply(b"".join(sent), len(sent), self._reply_timeout_s, then))

    # the parameter of the protocol
    def parts(self, count: int, key: Callable[[int], bytes]) -> Sequence[Sequence[int]]:  # noqa: ARG002
        """Return one group: all commands go to this server."""
        return [range(count)]

    async def primaries(self, key: bytes) -> list[tuple[Router, bytes]]:
        """Return this connection: all keys are on its server."""
        return [(self, key)]

    @property
    def closed(self) -> bool:
        """Whether there is no connection and none is being made."""
        return self._connecting is None and (self._wire is None or self._wire.closed)

    def drop(self) -> None:
        """Close the connection; the next call makes a new one."""
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

    async def _call(self, commands: Sequence[Command | EncodedCommand], extra_s: float) -> list[Reply]:
        """Return the replies. Raise StoreUnavailable, or the ReplyError by which the server refuses the connection."""
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        call = PendingReply(pack(commands), len(commands), self._reply_timeout_s + extra_s, partial(_end, future))
        self._begin(call)
        return await future

    def _begin(self, call: PendingReply) -> None:
        """Send a call, or queue it until there is a connection. Calls are sent in the order of `_begin`."""
        wire = self._wire
        if wire is not None and not wire.closed:
            return wire.send(call)
        self._waiting.append(call)
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name=f"connect {self._address}")
            self._connecting.add_done_callback(self._connect_done)
        return None

    def _connect_done(self, task: asyncio.Task[RedisProtocol]) -> None:
        self._connecting = None
        calls, self._waiting = self._waiting, []
        failure: BaseException | None = lost("not_applied") if task.cancelled() else task.exception()
        if failure is None:
            self._wire = wire = task.result()
            for call in calls:
                wire.send(call)
        else:
            why = failure if isinstance(failure, StoreUnavailable | ReplyError) else lost("not_applied")
            for call in calls:
                call.end(why)

    async def _connect(self) -> RedisProtocol:
        loop = asyncio.get_running_loop()
        where = self._address if self._find is None else await self._find()
        wire = RedisProtocol(loop)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                if where.path is not None:
                    await loop.create_unix_connection(lambda: wire, where.path)
                else:
                    await loop.create_connection(lambda: wire, where.host, where.port, ssl=where.tls)
                await self._introduce(wire, where)
        except (OSError, TimeoutError) as error:
            wire.abort()
            outages.cannot_be_used(where, _reason(error, self._connect_timeout_s))
            raise lost("not_applied") from error
        except StoreUnavailable as error:  # no call has been sent yet
            closed = "it closes the connection, or does not speak the protocol of Redis"
            outages.cannot_be_used(where, closed if wire.closed else error.detail)
            wire.abort()
            raise replace(error, outcome="not_applied") from error
        except ReplyError as error:
            wire.abort()
            outages.cannot_be_used(where, str(error))
            raise
        except BaseException:
            wire.abort()
            raise
        outages.can_be_used(where)
        return wire

    async def _introduce(self, wire: RedisProtocol, where: Address) -> None:
        commands: list[Command] = []
        if where.password is not None:
            user = [] if where.username is None else [where.username.encode()]
            commands.append([b"AUTH", *user, where.password.encode()])
        if where.db:
            commands.append((b"SELECT", b"%d" % where.db))
        if self._find is not None:
            commands.append((b"ROLE",))
        future: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        asks: list[Command] = []
        if self._probe is not None:
            asks = [(b"SCRIPT", b"LOAD", rights.RIGHTS.text), rights.ask(self._probe)]
        commands.extend((*requirements.ASK, (b"CLIENT", b"SETNAME", b"cellar"), *asks))
        wire.send(PendingReply(pack(commands), len(commands), self._connect_timeout_s, partial(_end, future)))
        all_replies = await future
        rights_reply = all_replies[-1] if asks else []
        *replies, server, memory, named = all_replies[: len(all_replies) - len(asks)]
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply
        if isinstance(server, ReplyError) and refusal_code(str(server)) == "NOAUTH":
            raise server
        if isinstance(named, ReplyError) and refusal_code(str(named)) == FULL:
            raise named  # the connection was refused; another error of SETNAME does no harm
        if self._find is not None and not (isinstance(replies[-1], list) and replies[-1][0] == b"master"):
            raise lost("not_applied")  # the sentinels name different servers, or this one is not promoted yet
        requirements.check(requirements.facts(server, memory))
        if (reason := rights.missing(rights_reply)) is not None:
            raise StoreUnavailable(reason, outcome="not_applied")


def _reason(error: OSError | TimeoutError, timeout_s: float) -> str:
    """Return a text that says why a connection could not be made."""
    if isinstance(error, TimeoutError):
        return f"it does not answer within {timeout_s:g} s"
    return error.strerror or str(error)


def _on_replies(
    on_replies: ReplyCallback, count: int, together: bool, replies: list[Reply] | StoreUnavailable | ReplyError
) -> None:
    """Report the outcome of commands that were posted."""
    if not isinstance(replies, list):
        return on_replies(range(count), [replies] * count)
    return on_replies(range(count), _each(replies, count, together=together))


def _each(replies: list[Reply], count: int, *, together: bool) -> Sequence[Reply | StoreUnavailable]:
    """Return the reply to each command; an unknown outcome for all of them if the replies cannot be assigned."""
    try:
        found = ungrouped(replies, count) if together else replies
    except Exception:
        logger.exception("the replies to %d commands were not understood", count)
        found = []
    return found if len(found) == count else [lost("unknown")] * count


def _end(future: asyncio.Future[list[Reply]], replies: list[Reply] | StoreUnavailable | ReplyError) -> None:
    """Complete the future of a call with its replies, unless the caller was cancelled."""
    if future.done():
        return
    if isinstance(replies, list):
        future.set_result(replies)
    else:
        future.set_exception(replies)
