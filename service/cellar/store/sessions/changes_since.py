"""Finds the changes of a session after a position, with their answers, among the stored last changes."""

from collections.abc import Sequence

from cellar.ports import CommittedChange, Identity, Position, SessionRecord
from cellar.store.sessions.deduplication import conflict
from cellar.store.sessions.record_codec import Entry, who


def changes_since(record: SessionRecord, entries: Sequence[Entry], position: Position) -> list[Entry]:
    """Return the changes after `position`, oldest first. `entries` are the ring, in any order.

    Raise PositionConflict if the ring does not lead back to that position.
    """
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
    return [CommittedChange(entry.after, entry.steps, entry.output, seqs.get(entry.who)) for entry in entries]
