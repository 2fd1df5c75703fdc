"""Converts the reply of the commit script to the result of the commit. Pure functions."""

import logging
from collections.abc import Sequence

from cellar.errors import CellarError, StoreCorrupt, StoreUnavailable
from cellar.ports import Applied, Change, Commit, CommitConflict, CommitResult, Committed
from cellar.store.connection.retry import CommandOutcome
from cellar.store.protocol.resp import Reply, items, raw
from cellar.store.sessions.deduplication import replay
from cellar.store.sessions.keyed_answer import forgotten, unpack_keyed
from cellar.store.sessions.record_codec import (
    Entry,
    absent,
    bytes_or_none,
    position_in,
    unpack_entry,
    unpack_record,
)

logger = logging.getLogger(__name__)

APPLIED = Applied()
"""The result of nearly all commits: applied, and no other process asks for the session."""


def result_of(commit: Commit, answer: CommandOutcome) -> CommitResult:
    """Return the result of a commit, given the answer to the call of its script (`lua/session/commit.lua`)."""
    reply = answer.reply
    if type(reply) is int:
        return APPLIED if commit.wanted_pause_s or not reply else Applied(reply / 1000)
    if isinstance(reply, CellarError):
        return reply
    try:
        what, *rest = items(reply)
        if what == b"gone":
            return absent(commit.before.key, rest[0])
        if what == b"keyed":
            return _replayed(commit, raw(rest[0]), answer)
        if what == b"forgotten":
            return forgotten(position_in(raw(rest[0])))
        return _conflict(commit, rest, answer)
    except CellarError as error:
        return error
    except Exception:  # a record that another version has written, or that is damaged
        logger.exception("the answer to a commit of session %s was not understood", commit.before.key.session)
        return StoreCorrupt("the store holds a session record that this version of Cellar cannot read")


def _replayed(commit: Commit, data: bytes, answer: CommandOutcome) -> Applied | Committed:
    """Return the result of a commit whose Idempotency-Key has been used before."""
    change = commit.changes[0]
    found = replay(unpack_keyed(data), change.fingerprint)
    return APPLIED if answer.resent and found.position == change.after else found


def _conflict(commit: Commit, rest: Sequence[Reply], answer: CommandOutcome) -> CommitResult:
    """Return the result of a commit that found another head: it was applied before, or another commit came first.

    Every change has a revision of its own, so the ring entry at a change's revision tells which request made it.
    """
    head, meta, state, writers, *slots = rest
    before = commit.before
    record = unpack_record(before.key, raw(head), raw(meta), raw(state), bytes_or_none(writers))
    if record.meta.incarnation == before.meta.incarnation and record.revision <= before.revision:
        return CommitConflict(record)  # an earlier sending of this commit is not in the history that the store has now
    entries = [None if slot is None else unpack_entry(raw(slot)) for slot in slots]
    pairs = enumerate(zip(commit.changes, entries, strict=True), before.revision)
    mine = [_is_entry_of(change, entry, revision) for revision, (change, entry) in pairs]
    first = entries[0]
    if any(found and not change.identity.ordered for change, found in zip(commit.changes, mine, strict=True)):
        return APPLIED  # the nonce of this request is in its place: this very commit arrived twice
    if answer.resent and all(mine):
        return APPLIED
    if answer.resent and mine[0] is None:
        return StoreUnavailable("the session moved on before the reply could be recovered", outcome="unknown")
    if first is None or not mine[0]:
        return CommitConflict(record)
    if commit.changes[0].identity.by_step and record.position.epoch != before.position.epoch:
        return CommitConflict(record)  # a step number means the present epoch, and this process knew an earlier one
    return first.answer(record.meta)


def _is_entry_of(change: Change, entry: Entry | None, revision: int) -> bool | None:
    """Return whether the ring entry is the change's, None if the slot holds an entry of another revision."""
    if entry is None or (entry.revision, entry.before) != (revision, change.before):
        return None
    return entry.is_of(change)
