"""What has happened to a session since a position: the answers that a client missed, as far as the ring has them."""

from collections.abc import Sequence

from cellar.ports import CommittedChange, Identity, Position, SessionRecord
from cellar.store.sessions.deduplication import conflict
from cellar.store.sessions.record_codec import Entry, who


def changes_since(record: SessionRecord, entries: Sequence[Entry], position: Position) -> list[Entry]:
    """Return the changes after `position`, the oldest first. `entries` are the ring, in any order.

    Raise the PositionConflict that a request at that position would deserve if the ring does not lead back to it.
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
    """Return changes as they can be told again, those of `writer` with the numbers that he gave them."""
    last = 0 if writer is None else record.writers.last(writer)
    # none of the writer's requests in the ring is older than the ring is long
    seqs = {who(Identity(writer=writer, seq=seq)): seq for seq in range(max(1, last - len(entries) + 1), last + 1)}
    return [CommittedChange(entry.after, entry.steps, entry.output, seqs.get(entry.who)) for entry in entries]
