"""Commands and their replies over one link, with the patience that an unknown outcome needs.

A command that was sent and not answered may have been applied. `insist` sends such a command again, on a fresh
connection, until it has a definite answer or the patience ends; so only commands that recognise themselves when they
come twice may be given to it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cellar.errors import CellarError, StoreCorrupt, StoreUnavailable
from cellar.store.connect import lost, refusal, refusal_code
from cellar.store.link import Link
from cellar.store.resp import Command, Reply, ReplyError
from cellar.store.scripts import Script

PATIENCE_S = 8.0
"""Two times the reply timeout: a Redis that hung once is asked once more."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
"""A Redis that restarts is back within this; the pause doubles from try to try."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one command. `resent`: an earlier sending of it may have been applied."""

    reply: bytes | int | list[Reply] | CellarError | None
    resent: bool


class Exchange:
    """Asks one Redis, and knows the scripts to give it when it has forgotten them."""

    def __init__(self, link: Link, scripts: Sequence[Script], *, patience_s: float = PATIENCE_S) -> None:
        self._link = link
        self._scripts = scripts
        self._patience_s = patience_s

    async def read(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the replies of commands that change nothing. Raise StoreUnavailable or StoreCorrupt.

        A connection that breaks is no answer: it may have died long before, with the Redis that is running again.
        """
        try:
            replies = await self._once(commands)
        except StoreUnavailable as error:
            if error.outcome == "not_applied":
                raise
            try:
                replies = await self._once(commands)
            except StoreUnavailable:
                raise lost("not_applied") from error
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise refusal(str(reply)) or _unexpected(reply)
        return replies

    async def insist(self, commands: Sequence[Command]) -> list[Answer]:
        """Return what became of each command; see the module's first lines for what they must be able to bear."""
        answers: list[Answer | None] = [None] * len(commands)
        loop = asyncio.get_running_loop()
        give_up, pause, sent = loop.time() + self._patience_s, FIRST_PAUSE_S, False
        while True:
            waiting = [index for index, answer in enumerate(answers) if answer is None]
            try:
                replies = await self._once([commands[index] for index in waiting])
            except StoreUnavailable as error:
                sent = sent or error.outcome == "unknown"
                failure = error
            else:
                refused = [_refusal(reply) for reply in replies]
                for index, reply, no in zip(waiting, replies, refused, strict=True):
                    if no is None:
                        answers[index] = Answer(_unexpected(reply) if isinstance(reply, ReplyError) else reply, sent)
                    elif not sent:
                        answers[index] = Answer(no, sent)
                failure = next((no for no in refused if no is not None), lost("unknown"))
            if all(answer is not None for answer in answers) or not sent or loop.time() > give_up:
                break
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
        end = StoreUnavailable(failure.detail, outcome="unknown" if sent else "not_applied")
        return [answer or Answer(end, sent) for answer in answers]

    async def _once(self, commands: Sequence[Command]) -> list[Reply]:
        """Send once; whatever a Redis refused for not knowing a script, it has not applied, and gets a second time."""
        replies = await self._link.call(commands)
        missing = [index for index, reply in enumerate(replies) if _forgot(reply)]
        if missing:
            load: list[Command] = [(b"SCRIPT", b"LOAD", script.text) for script in self._scripts]
            again = await self._link.call([*load, *(commands[index] for index in missing)])
            for index, reply in zip(missing, again[len(load) :], strict=True):
                replies[index] = reply
        if any(isinstance(reply, ReplyError) and refusal_code(str(reply)) == "READONLY" for reply in replies):
            self._link.drop()  # the primary has become a replica: the address may lead to another one now
        return replies


def _forgot(reply: Reply) -> bool:
    return isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT")


def _refusal(reply: Reply) -> StoreUnavailable | None:
    return refusal(str(reply)) if isinstance(reply, ReplyError) else None


def _unexpected(reply: ReplyError) -> StoreCorrupt:
    return StoreCorrupt(f"unexpected answer from Redis: {reply}")
