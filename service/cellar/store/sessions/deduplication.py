"""What a request deserves, given the session, its last changes and what its Idempotency-Key was answered.

A pure function of one consistent look at the record (design, section 5: the table of outcomes).
"""

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
from cellar.ports import Committed, Identity, Position, SessionRecord
from cellar.store.sessions.record_codec import Entry, Keyed, who


def judge(
    record: SessionRecord, entries: Sequence[Entry], keyed: Keyed | None, identity: Identity, fingerprint: bytes
) -> Committed | None:
    """Return the answer to a request seen before, None if the request may run on `record`.

    Raise FingerprintMismatch or the PositionConflict that the request deserves.
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
    entries = [entry for entry in entries if entry.after != entry.before]  # what moved nothing took nobody's place
    same = next((entry for entry in entries if entry.before == claimed), None)
    if same is None and identity.position is None:
        same = next((entry for entry in entries if _place(entry) == (claimed.epoch, claimed.step)), None)
    if same is not None and same.ordered and same.mark == fingerprint:
        return same.answer()
    raise conflict(record.position, claimed, same, entries)


def replay(keyed: Keyed, fingerprint: bytes) -> Committed:
    """Return what the key was answered. Raise FingerprintMismatch if it was with another body."""
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
    return same.answer()


def _claim(identity: Identity, now: Position) -> Position:
    """Return the position that the request names; a step alone means the present epoch and any history."""
    if identity.position is not None:
        return identity.position
    assert identity.step is not None
    return now if identity.step == now.step else Position(now.epoch, identity.step, b"")


def _place(entry: Entry) -> tuple[bytes, int]:
    return entry.before.epoch, entry.before.step


def conflict(now: Position, claimed: Position, same: Entry | None, entries: Sequence[Entry]) -> PositionConflict:
    """Return why nothing can be done at the claimed position; `same` is the change that was made there, if any."""
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
    """Return in words why a request is ahead of the session.

    A number alone may have been counted by a client whose earlier step is still on its way. A position has a digest,
    which clients know from an answer: that step was applied, unless the client has made the position up.
    """
    if claimed.digest:
        return (
            f"the session is at step {now.step} and not at {claimed.step}: if that position is from an answer, the"
            f" store has lost the steps from {now.step} on, and the session goes on from there"
        )
    return (
        f"step {claimed.step} came before step {now.step}: the session is at step {now.step}."
        f" {_early('step', now.step)}"
    )


def _early(what: str, number: int) -> str:
    """Return what to do about a request before which that number has to come."""
    return (
        f"Send {what} {number} first, or wait for its answer if it is on its way; if it was answered before, the store"
        " has lost it"
    )
