"""Groups commands into a few transactions, so that Redis syncs its append-only file once for each of them.

Redis reads 16 KiB of a connection at a time and, with `appendfsync always`, syncs the file after each read. A long
batch of commands thus waits for many syncs; a transaction runs when it has arrived as a whole, and is synced once. The
commands in it stay independent: one that fails undoes none of the others.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from cellar.store.protocol.resp import Command, EncodedCommand, Reply, ReplyError, pack

AnyCommand = TypeVar("AnyCommand", EncodedCommand, Command | EncodedCommand)

LEAST = 8
"""Fewest commands that are worth a transaction: fewer commits arrive in one read anyway."""

MOST = 128
"""Most commands in a transaction: Redis serves no other connection meanwhile, for a few milliseconds."""

MULTI, EXEC = pack([(b"MULTI",)]), pack([(b"EXEC",)])


def grouped(commands: Sequence[AnyCommand]) -> list[AnyCommand]:
    """Return the commands in transactions; a group of fewer than LEAST stays as it is."""
    found: list[AnyCommand] = []
    for begin, end in _bounds(len(commands)):
        if end - begin >= LEAST:
            found.append(MULTI)
        found += commands[begin:end]
        if end - begin >= LEAST:
            found.append(EXEC)
    return found


def ungrouped(replies: Sequence[Reply], count: int) -> list[Reply]:
    """Return the replies to `count` commands, given the replies to `grouped` of them."""
    found: list[Reply] = []
    at = 0
    for begin, end in _bounds(count):
        size = end - begin
        if size < LEAST:
            found += replies[at : at + size]
            at += size
            continue
        begun, queued, done = replies[at], replies[at + 1 : at + 1 + size], replies[at + 1 + size]
        found += _outcome(begun, queued, done)
        at += size + 2
    return found


def _outcome(begun: Reply, queued: Sequence[Reply], done: Reply) -> Sequence[Reply]:
    """Return the replies to the commands of one transaction, given those to MULTI, to the commands and to EXEC."""
    if isinstance(begun, ReplyError):  # MULTI was refused, so each command was answered by itself
        return queued
    if isinstance(done, list):
        return done
    # one command was refused when it was queued, and with it the whole transaction: all have the same reason
    reason = next((reply for reply in queued if isinstance(reply, ReplyError)), done)
    return [reason] * len(queued)


def _bounds(count: int) -> Iterator[tuple[int, int]]:
    for begin in range(0, count, MOST):
        yield begin, min(begin + MOST, count)
