"""Sends commands to Redis again until their outcome is known or the time limit is over.

A command that was sent and not answered may have been applied. `execute` sends such a command again, on a fresh
connection, so it takes only commands whose second arrival changes nothing or is recognised. `read` takes commands that
change nothing. Both load scripts that a Redis has lost.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from time import monotonic
from typing import Any, NamedTuple, cast

from cellar.errors import CellarError, StoreCorrupt, StoreUnavailable
from cellar.store.connection.router import CommandReplies, Router, Wait
from cellar.store.protocol.errors import PASSING, refusal, refusal_code
from cellar.store.protocol.resp import Command, Reply, ReplyError
from cellar.store.protocol.script import Script, ScriptCall

PATIENCE_S = 8.0
"""How long a command is tried: two reply timeouts, so that a Redis that hung once is asked once more."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
"""Pauses between tries, doubled each time: a Redis that restarts is back within the longest."""


FAULTS = frozenset((ReplyError, StoreUnavailable))
"""The types of replies that are errors."""


class CommandOutcome(NamedTuple):
    """The outcome of one command. `resent`: an earlier sending of it may have been applied."""

    reply: bytes | int | list[Reply] | CellarError | None
    resent: bool
    copies: int = 0
    """How many replicas have it, if a Wait was given."""

    def result(self) -> Reply:
        """Return the reply. Raise it if it is an error."""
        if isinstance(self.reply, CellarError):
            raise self.reply
        return self.reply


class RetryingClient:
    """Sends commands through a router until they are answered.

    Where another server takes over from one that is lost, refusals that such a change causes are retried as well.
    A Redis that lacks the script of a command has been restarted or flushed: it is sent that script and `preload`.
    """

    def __init__(self, router: Router, *, preload: Sequence[Script] = (), patience_s: float = PATIENCE_S) -> None:
        self._router = router
        self._preload = preload
        self._patience_s = patience_s

    async def read(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies to commands that change nothing. Raise StoreUnavailable or StoreCorrupt.

        A lost connection alone is no failure: it may have been dead for long, while Redis is running again.
        """
        replies: list[Reply] = [None] * len(commands)
        tries, waiting = _Tries(self._patience_s), list(range(len(commands)))
        while True:
            found, _ = await self._send([commands[index] for index in waiting], None, in_order=False)
            if not tries.count and FAULTS.isdisjoint(map(type, found)):  # nearly always
                return cast("list[Reply]", found)
            failed = []
            for index, reply in zip(waiting, found, strict=True):
                failure = _failure(reply)
                if failure is not None:
                    failed.append((index, reply, failure))
                elif isinstance(reply, ReplyError):
                    raise _unexpected(reply)
                else:
                    assert not isinstance(reply, StoreUnavailable)
                    replies[index] = reply
            if not failed:
                return replies
            first_time = tries.count == 0 and all(failure.outcome == "unknown" for *_, failure in failed)
            passing = all(self._is_passing(reply) for _, reply, _ in failed)
            if not (first_time or passing) or tries.over:
                raise replace(failed[0][2], outcome="not_applied")
            waiting = [index for index, *_ in failed]
            await tries.pause(now=first_time)

    async def execute(
        self,
        commands: Sequence[Command],
        *,
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,
        replies: CommandReplies | None = None,
        began_s: float | None = None,
    ) -> list[CommandOutcome]:
        """Return the outcome of each command; a command may be applied more than once.

        With `wait` each server waits, after its commands, until replicas have them; `copies` of an outcome is their
        number. `in_order` and `together` are those of `Router.send`. `replies` are those to an earlier sending of the
        commands, if there was one; the patience counts from `began_s`, by the monotonic clock.
        """
        answers: list[CommandOutcome | None] = [None] * len(commands)
        failures: dict[int, StoreUnavailable] = {}
        sent: set[int] = set()
        tries, waiting = _Tries(self._patience_s, began_s), list(range(len(commands)))
        while True:
            some = [commands[index] for index in waiting]
            found, copies = await self._send(some, wait, in_order=in_order, together=together, replies=replies)
            if not tries.count and FAULTS.isdisjoint(map(type, found)):  # nearly always
                return _outcomes(found, copies)
            replies = None
            again, ended = list[int](), False
            for at, (index, reply) in enumerate(zip(waiting, found, strict=True)):
                failure = _failure(reply)
                if failure is None:
                    final = _unexpected(reply) if isinstance(reply, ReplyError) else reply
                    answers[index] = CommandOutcome(final, index in sent, copies[at] if copies else 0)
                    continue
                failures[index] = failure
                if failure.outcome == "unknown":
                    sent.add(index)
                if not ended and (index in sent or self._is_passing(reply)):
                    again.append(index)
                else:
                    ended = in_order  # the commands after it must not run
            if not again or tries.over:
                break
            waiting = again
            await tries.pause()
        return [answer or _given_up(failures[index], index in sent) for index, answer in enumerate(answers)]

    async def take_turn(self, key: bytes, interval_s: float) -> bool:
        """Return whether this process is the first to ask for a key within `interval_s`. Raise StoreUnavailable."""
        turn = (b"SET", key, b"", b"NX", b"PX", b"%d" % max(1, interval_s * 1000))
        (answer,) = await self.execute([turn])
        return answer.result() is not None

    def _is_passing(self, reply: object) -> bool:
        """Return whether the next try may succeed: scripts were lost again, or another server is taking over."""
        if _lacks_script(reply):
            return True
        if not self._router.fails_over:
            return False
        return isinstance(reply, StoreUnavailable) or refusal_code(str(reply)) in PASSING

    async def _send(
        self,
        commands: Sequence[Command],
        wait: Wait | None,
        *,
        in_order: bool,
        together: bool = False,
        replies: CommandReplies | None = None,
    ) -> CommandReplies:
        """Send the commands once. Those whose script Redis did not have are sent once more behind the scripts."""
        if replies is None:
            replies = await self._router.send(commands, wait=wait, in_order=in_order, together=together)
        found, copies = replies
        if ReplyError not in map(type, found):  # nearly always
            return replies
        missing = [index for index, reply in enumerate(found) if _lacks_script(reply)]
        if missing:
            if in_order:
                missing = list(range(missing[0], len(commands)))
            some = [commands[index] for index in missing]
            lacking = [command.script for command in some if isinstance(command, ScriptCall)]
            load: list[Command] = [
                (b"SCRIPT", b"LOAD", script.text) for script in dict.fromkeys([*lacking, *self._preload])
            ]
            second = await self._router.send(some, before=load, wait=wait, in_order=in_order, together=together)
            copies = list(copies)
            for at, index in enumerate(missing):
                found[index] = second.replies[at]
                if wait:
                    copies[index] = second.copies[at]
        if any(isinstance(reply, ReplyError) and refusal_code(str(reply)) == "READONLY" for reply in found):
            self._router.drop()  # the primary has become a replica: the address may lead to another server now
        return CommandReplies(found, copies)


class _Tries:
    """Pauses between tries, each twice as long as the one before, until the patience ends."""

    def __init__(self, patience_s: float, began_s: float | None = None) -> None:
        self._give_up = (monotonic() if began_s is None else began_s) + patience_s
        self._pause_s = FIRST_PAUSE_S
        self.count = 0

    @property
    def over(self) -> bool:
        """Whether the patience has ended."""
        return monotonic() > self._give_up

    async def pause(self, *, now: bool = False) -> None:
        """Wait for the next try; with `now` do not wait."""
        self.count += 1
        if not now:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _outcomes(found: Sequence[Any], copies: Sequence[int]) -> list[CommandOutcome]:
    """Return the outcomes of commands that were sent once, of whose replies none is an error."""
    return [CommandOutcome(*each) for each in zip(found, repeat(False), copies or repeat(0), strict=False)]


def _given_up(failure: StoreUnavailable, sent: bool) -> CommandOutcome:
    return CommandOutcome(replace(failure, outcome="unknown" if sent else "not_applied"), sent)


def _failure(reply: "Reply | StoreUnavailable") -> StoreUnavailable | None:
    """Return why a command has no answer: Redis refused it as a whole, or no reply came. None if it has one."""
    if _lacks_script(reply):
        return StoreUnavailable("Redis does not keep its scripts", outcome="not_applied")
    if isinstance(reply, ReplyError):
        return refusal(str(reply))
    return reply if isinstance(reply, StoreUnavailable) else None


def _lacks_script(reply: object) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def _unexpected(reply: ReplyError) -> StoreCorrupt:
    return StoreCorrupt(f"unexpected answer from Redis: {reply}")
