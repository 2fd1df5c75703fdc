"""Many commands in a few transactions, so that Redis writes them to its disk at once.

Redis reads 16 KiB of a connection at a time and, with `appendfsync always`, syncs its file after each time. A tick of
many commits then waits for many syncs, one after the other; a transaction is kept back until it is whole and is synced
once. Its commands stand for themselves as before: one that fails undoes none of the others.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeVar

from cellar.store.protocol.resp import Command, Packed, Reply, ReplyError, pack

Item = TypeVar("Item")

LEAST = 8
"""Commands that are worth it: fewer commits come in one piece anyway."""

MOST = 128
"""Of a transaction: Redis serves nobody else meanwhile, for a few milliseconds."""

MULTI: Command = (b"MULTI",)
EXEC: Command = (b"EXEC",)
_MULTI_PACKED, _EXEC_PACKED = pack([MULTI]), pack([EXEC])

ZERO = b":0\r\n"
"""What nearly every commit is answered."""


def grouped(commands: Sequence[Command | Packed]) -> list[Command | Packed]:
    """Return the commands in transactions; few of them as they are."""
    found: list[Command | Packed] = _grouped(commands, MULTI, EXEC)
    return found


def grouped_packed(commands: Sequence[Packed]) -> list[Packed]:
    """Return the same of commands that are packed."""
    return _grouped(commands, _MULTI_PACKED, _EXEC_PACKED)


def _grouped(commands: Sequence[Item], begin: Item, end: Item) -> list[Item]:
    found: list[Item] = []
    for group in _groups(commands):
        found += [begin, *group, end] if len(group) >= LEAST else group
    return found


def ungrouped(replies: Sequence[Reply], count: int) -> list[Reply]:
    """Return the reply to each of so many commands, given those to what `grouped` made of them."""
    found: list[Reply] = []
    at = 0
    for group in _groups(range(count)):
        size = len(group)
        if size < LEAST:
            found += replies[at : at + size]
            at += size
            continue
        begun, queued, done = replies[at], replies[at + 1 : at + 1 + size], replies[at + 1 + size]
        found += _outcome(begun, queued, done)
        at += size + 2
    return found


def zeros(count: int) -> bytes:
    """Return the bytes of the replies to what `grouped` makes of so many commands, if 0 is the answer to each."""
    full, rest = divmod(count, MOST)
    return _zeros(MOST) * full + _zeros(rest)


@lru_cache(maxsize=MOST + 1)
def _zeros(count: int) -> bytes:
    if count < LEAST:
        return ZERO * count
    return b"+OK\r\n" + b"+QUEUED\r\n" * count + b"*%d\r\n" % count + ZERO * count


def _outcome(begun: Reply, queued: Sequence[Reply], done: Reply) -> Sequence[Reply]:
    """Return what became of the commands of a transaction."""
    if isinstance(begun, ReplyError):  # there was none: each was answered by itself
        return queued
    if isinstance(done, list):
        return done
    # one was refused before it could begin, and with it all the others: for the same reason
    reason = next((reply for reply in queued if isinstance(reply, ReplyError)), done)
    return [reason] * len(queued)


def _groups(commands: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(commands), MOST):
        yield commands[begin : begin + MOST]
