"""Decides whether a request is new, a repetition or a conflict, from the session and its last changes.

Pure functions of one consistent read of the record (design, section 5: the table of outcomes)."""

from collections.abc import Sequence

from cellar.errors import (
    Diverged,
    EpochChanged,
    FingerprintMismatch,
    Overlap,
    PositionConflict,
    Regressed,
    ReplayExpired,
    StepTaken,
    WriterUnknown,
)
from cellar.ports import Committed, CommittedChange, Identity, Position, SessionRecord
from cellar.store.sessions.keyed_answer import Keyed
from cellar.store.sessions.record_codec import Entry, who


def judge(
    record: SessionRecord, entries: Sequence[Entry], keyed: Keyed | None, identity: Identity, fingerprint: bytes
) -> Committed | None:
    """Return the answer to a repeated request, None if the request is new and may run on `record`.

    `entries` are the ring of last changes, `keyed` is the stored answer for its Idempotency-Key. Raise
    FingerprintMismatch or PositionConflict.
    """
    if keyed is not None and keyed.incarnation == record.meta.incarnation:
        return replay(keyed, fingerprint)
    if identity.writer is not None:
        return _judge_writer(record, entries, identity, fingerprint)
    if not identity.ordered:
        return None
    claimed = _claim(identity, record.position)
    if claimed == record.position:
        return None
    entries = [
        entry for entry in entries if entry.after != entry.before
    ]  # a change that left the position as it was is in the way of no other
    same = next((entry for entry in entries if entry.before == claimed), None)
    if same is None and identity.position is None:
        same = next((entry for entry in entries if _is_at(entry, claimed)), None)
    if same is not None and same.ordered and same.mark == fingerprint:
        return same.answer(record.meta)
    raise conflict(record.position, claimed, same, entries)


def replay(keyed: Keyed, fingerprint: bytes) -> Committed:
    """Return the answer stored for the key. Raise FingerprintMismatch if the body was another one."""
    if keyed.fingerprint != fingerprint:
        raise FingerprintMismatch("this Idempotency-Key was used in this session with another body")
    return keyed.answer()


def _judge_writer(
    record: SessionRecord, entries: Sequence[Entry], identity: Identity, fingerprint: bytes
) -> Committed | None:
    assert identity.writer is not None
    assert identity.seq is not None
    last, position = record.writers.last(identity.writer), str(record.position)
    if identity.seq == last + 1:
        return None
    if not last:
        detail = (
            f"the session does not know the writer, so its next request is 1 and not {identity.seq}."
            f" {_early('request', 1)}"
        )
        raise WriterUnknown(detail, position=position)
    if identity.seq > last:
        detail = (
            f"request {identity.seq} of the writer came before request {last + 1}: its last is {last}."
            f" {_early('request', last + 1)}"
        )
        raise Regressed(detail, position=position)
    whose = who(identity)
    same = next((entry for entry in entries if entry.who == whose), None)
    if same is None:
        detail = f"request {identity.seq} of the writer is older than what can be replayed"
        raise ReplayExpired(detail, position=position)
    if same.mark != fingerprint:
        raise FingerprintMismatch(f"the writer's request {identity.seq} had another body")
    return same.answer(record.meta)


def _claim(identity: Identity, now: Position) -> Position:
    """Return the position that the request names; a step number means the present epoch and any history."""
    if identity.position is not None:
        return identity.position
    assert identity.step is not None
    return now if identity.step == now.step else Position(now.epoch, identity.step, b"")


def _is_at(entry: Entry, claimed: Position) -> bool:
    """Return whether a change was made at a step: not one between two steps, which changed the digest alone."""
    before, after = entry.before, entry.after
    there = (before.epoch, before.step) == (claimed.epoch, claimed.step)
    return there and (after.epoch, after.step) != (before.epoch, before.step)


def conflict(now: Position, claimed: Position, same: Entry | None, entries: Sequence[Entry]) -> PositionConflict:
    """Return the error for the claimed position; `same` is the change that was made there, if any."""
    position = str(now)
    if claimed.epoch != now.epoch:
        return EpochChanged("the session was reset or rewritten since that position", position=position)
    if same is not None:
        return StepTaken(f"step {claimed.step} was committed by another request", position=position)
    if claimed.step > now.step:
        return Regressed(_ahead(now, claimed), position=position)
    there = [entry for entry in entries if entry.before.epoch == now.epoch]
    if claimed.step == now.step or any(entry.before.step == claimed.step for entry in there):
        return Diverged(f"step {claimed.step} has another history here", position=position)
    for entry in there:
        end = entry.before.step + entry.steps
        if entry.before.step < claimed.step < end:
            detail = f"step {claimed.step} is inside the committed sequence of steps {entry.before.step} to {end - 1}"
            return Overlap(detail, position=position, boundaries=(entry.before.step, end))
    return ReplayExpired(f"step {claimed.step} is older than what can be replayed", position=position)


def _ahead(now: Position, claimed: Position) -> str:
    """Return a text that says why a request is ahead of the session.

    A step number may have been counted by a client whose earlier step is still in flight. A position has a digest,
    which a client knows from an answer, so that step was applied, unless the client has invented the position.
    """
    if claimed.digest:
        return (
            f"the session is at step {now.step} and not at {claimed.step}: if that position is from an answer, the"
            f" store has lost the steps from {now.step} on, and the session continues from there"
        )
    return (
        f"step {claimed.step} came before step {now.step}: the session is at step {now.step}."
        f" {_early('step', now.step)}"
    )


def _early(what: str, number: int) -> str:
    """Return a text that says what to send before a request that came too early."""
    return (
        f"Send {what} {number} first, or wait for its answer if it is in flight; if it was answered before, the store"
        " has lost it"
    )


def changes_since(record: SessionRecord, entries: Sequence[Entry], position: Position) -> list[Entry]:
    """Return the changes of the ring after `position`, oldest first. Raise PositionConflict if none leads to it."""
    by_revision = {entry.revision: entry for entry in entries}
    missed: list[Entry] = []
    before = record.position
    while before != position:
        entry = by_revision.get(record.revision - len(missed) - 1)
        if entry is None or entry.after != before:
            raise conflict(record.position, position, None, missed)
        missed.append(entry)
        before = entry.before
    return missed[::-1]


def committed_changes(entries: Sequence[Entry], record: SessionRecord, writer: str | None) -> list[CommittedChange]:
    """Return the changes with their answers; those of `writer` have their number in `seq`."""
    last = 0 if writer is None else record.writers.last(writer)
    # the ring has at most the last len(entries) requests of the writer
    seqs = {who(Identity(writer=writer, seq=seq)): seq for seq in range(max(1, last - len(entries) + 1), last + 1)}
    return [
        CommittedChange(entry.after, entry.steps, entry.output, seqs.get(entry.who), record.meta.ran(entry.revision))
        for entry in entries
    ]
