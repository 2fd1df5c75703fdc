"""Commands and their replies over a route, with the patience that an unknown outcome needs.

A command that was sent and not answered may have been applied. `insist` sends such a command again, on a fresh
connection, until it has a definite answer or the patience ends; so only commands that recognise themselves when they
come twice may be given to it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from cellar.errors import CellarError, StoreCorrupt, StoreUnavailable
from cellar.store.connection.router import Replies, Router, Wait
from cellar.store.protocol.errors import PASSING, refusal, refusal_code
from cellar.store.protocol.resp import Command, Reply, ReplyError
from cellar.store.protocol.script import Script

PATIENCE_S = 8.0
"""Two times the reply timeout: a Redis that hung once is asked once more."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
"""A Redis that restarts is back within this; the pause doubles from try to try."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one command. `resent`: an earlier sending of it may have been applied."""

    reply: bytes | int | list[Reply] | CellarError | None
    resent: bool
    copies: int = 0
    """How many replicas have it, if that was waited for."""


class RetryingClient:
    """Asks Redis by a route, and knows the scripts to give to a server that has forgotten them.

    Where another server takes over from one that is lost, all that such a change refuses is tried again as well.
    """

    def __init__(self, route: Router, scripts: Sequence[Script], *, patience_s: float = PATIENCE_S) -> None:
        self._route = route
        self._scripts = scripts
        self._patience_s = patience_s

    async def read(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies of commands that change nothing. Raise StoreUnavailable or StoreCorrupt.

        A connection that breaks is no answer: it may have died long before, with the Redis that is running again.
        """
        replies: list[Reply] = [None] * len(commands)
        tries, waiting = _Tries(self._patience_s), list(range(len(commands)))
        while True:
            told, _ = await self._once([commands[index] for index in waiting], None, in_order=False)
            failed = []
            for index, reply in zip(waiting, told, strict=True):
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
            mends = all(self._passes(reply) for _, reply, _ in failed)
            if not (first_time or mends) or tries.over:
                raise StoreUnavailable(failed[0][2].detail, outcome="not_applied")
            waiting = [index for index, *_ in failed]
            await tries.pause(now=first_time)

    async def insist(
        self,
        commands: Sequence[Command],
        *,
        wait: Wait | None = None,
        in_order: bool = False,
        together: bool = False,
        told: Replies | None = None,
        began_s: float | None = None,
    ) -> list[Answer]:
        """Return what became of each command; see the module's first lines for what they must be able to bear.

        With `wait` each server waits, after its commands, until replicas have them, and `Answer.copies` says how
        many do. `in_order` and `together` are `Router.tell`'s. Where somebody else has sent the commands before, `told`
        is what became of them then; the patience counts from `began_s`, by the monotonic clock.
        """
        answers: list[Answer | None] = [None] * len(commands)
        failures: dict[int, StoreUnavailable] = {}
        sent: set[int] = set()
        tries, waiting = _Tries(self._patience_s, began_s), list(range(len(commands)))
        while True:
            some = [commands[index] for index in waiting]
            replies, copies = await self._once(some, wait, in_order=in_order, together=together, told=told)
            told = None
            again: list[int] = []
            ended = False
            for at, (index, reply) in enumerate(zip(waiting, replies, strict=True)):
                failure = _failure(reply)
                if failure is None:
                    final = _unexpected(reply) if isinstance(reply, ReplyError) else reply
                    answers[index] = Answer(final, index in sent, copies[at] if copies else 0)
                    continue
                failures[index] = failure
                if failure.outcome == "unknown":
                    sent.add(index)
                if not ended and (index in sent or self._passes(reply)):
                    again.append(index)
                else:
                    ended = in_order  # what comes after it is not to run
            if not again or tries.over:
                break
            waiting = again
            await tries.pause()
        return [answer or _given_up(failures[index], index in sent) for index, answer in enumerate(answers)]

    def _passes(self, reply: object) -> bool:
        """Return whether what went wrong ends by itself, with a change of servers, or with the next try."""
        if _forgot(reply):  # again, right after it was given the scripts: somebody empties them
            return True
        if not self._route.fails_over:
            return False
        return isinstance(reply, StoreUnavailable) or refusal_code(str(reply)) in PASSING

    async def _once(
        self,
        commands: Sequence[Command],
        wait: Wait | None,
        *,
        in_order: bool,
        together: bool = False,
        told: Replies | None = None,
    ) -> Replies:
        """Send once; whatever a Redis refused for not knowing a script, it has not applied, and gets a second time."""
        if told is None:
            told = await self._route.tell(commands, wait=wait, in_order=in_order, together=together)
        replies, copies = told
        missing = [index for index, reply in enumerate(replies) if _forgot(reply)]
        if missing:
            load: list[Command] = [(b"SCRIPT", b"LOAD", script.text) for script in self._scripts]
            if in_order:
                missing = list(range(missing[0], len(commands)))
            second = await self._route.tell(
                [commands[index] for index in missing], before=load, wait=wait, in_order=in_order, together=together
            )
            copies = list(copies)
            for at, index in enumerate(missing):
                replies[index] = second.replies[at]
                if wait:
                    copies[index] = second.copies[at]
        if any(isinstance(reply, ReplyError) and refusal_code(str(reply)) == "READONLY" for reply in replies):
            self._route.drop()  # the primary has become a replica: the address may lead to another one now
        return Replies(replies, copies)


class _Tries:
    """Pauses between tries, each twice the one before, until the patience ends."""

    def __init__(self, patience_s: float, began_s: float | None = None) -> None:
        self._give_up = (monotonic() if began_s is None else began_s) + patience_s
        self._pause_s = FIRST_PAUSE_S
        self.count = 0

    @property
    def over(self) -> bool:
        """Whether the patience has ended."""
        return monotonic() > self._give_up

    async def pause(self, *, now: bool = False) -> None:
        """Wait for the next try; not at all if it should come `now`."""
        self.count += 1
        if not now:
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


def _given_up(failure: StoreUnavailable, sent: bool) -> Answer:
    return Answer(StoreUnavailable(failure.detail, outcome="unknown" if sent else "not_applied"), sent)


def _failure(reply: "Reply | StoreUnavailable") -> StoreUnavailable | None:
    """Return why a command has no answer: it was refused whole, or nothing came back."""
    if _forgot(reply):
        return StoreUnavailable("Redis does not keep its scripts", outcome="not_applied")
    if isinstance(reply, ReplyError):
        return refusal(str(reply))
    return reply if isinstance(reply, StoreUnavailable) else None


def _forgot(reply: object) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def _unexpected(reply: ReplyError) -> StoreCorrupt:
    return StoreCorrupt(f"unexpected answer from Redis: {reply}")
