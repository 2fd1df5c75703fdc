"""What has happened since a position, as far as the ring leads back."""

from collections.abc import Sequence

import pytest

from cellar.errors import Diverged, EpochChanged, PositionConflict, Regressed, ReplayExpired
from cellar.ports import Commit, Identity, Position, SessionRecord
from cellar.store.sessions.deduplication import changes_since, committed_changes
from cellar.store.sessions.record_codec import Entry, pack_entry, unpack_entry
from tests.store.session_values import a_commit, a_record, a_reset, after, only


def entry(commit: Commit) -> Entry:
    return unpack_entry(pack_entry(only(commit), commit.before.revision, 4096))


def lived(*lives: float | None) -> tuple[SessionRecord, list[Position], list[Entry]]:
    """Return a session after steps with these inputs (None: a reset), where it was, and its ring."""
    record, positions, entries = a_record(), [], []
    for number, value in enumerate(lives, 1):
        positions.append(record.position)
        identity = Identity(writer="w", seq=number)
        commit = a_reset(record) if value is None else a_commit(record, value, identity=identity)
        entries.append(entry(commit))
        record = after(commit)
    return record, [*positions, record.position], entries


@pytest.mark.parametrize("back", range(6))
def test_it_is_what_came_after_in_order(back: int) -> None:
    record, positions, entries = lived(1, 2, None, 3, 4)
    shuffled: Sequence[Entry] = entries[2:] + entries[:2]
    assert changes_since(record, shuffled, positions[5 - back]) == entries[5 - back :]


def test_a_gap_is_no_history() -> None:
    record, positions, entries = lived(1, 2, 3, 4)
    del entries[1]
    assert changes_since(record, entries, positions[2]) == entries[1:]
    with pytest.raises(ReplayExpired):
        changes_since(record, entries, positions[0])


def test_entries_of_an_earlier_life_are_no_history() -> None:
    _, positions, entries = lived(1, 2)
    record, _, newer = lived(1, 2)
    with pytest.raises(EpochChanged):
        changes_since(record, [*entries, *newer], positions[1])


@pytest.mark.parametrize(
    ("step", "digest", "error"), [(9, b"x" * 16, Regressed), (2, b"x" * 16, Diverged), (1, b"x" * 16, Diverged)]
)
def test_a_position_that_never_was(step: int, digest: bytes, error: type[PositionConflict]) -> None:
    record, _, entries = lived(1, 2)
    with pytest.raises(error) as caught:
        changes_since(record, entries, Position(record.position.epoch, step, digest))
    assert caught.value.position == str(record.position)


def test_a_writer_hears_the_numbers_of_his_own_requests() -> None:
    record, _, entries = lived(1, 2, None, 3)
    assert [each.seq for each in committed_changes(entries, record, "w")] == [1, 2, None, 4]
    assert [each.seq for each in committed_changes(entries, record, "v")] == [None] * 4
    told = committed_changes(entries, record, None)
    assert [(each.position, each.steps, each.output) for each in told] == [
        (each.after, each.steps, each.output) for each in entries
    ]
