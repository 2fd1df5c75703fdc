"""The packed record: what goes in comes out, and what was never packed is refused."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import StoreCorrupt
from cellar.ports import MAX_WRITERS, NO_WRITERS, DeletedModel, Following, Identity, Position, SessionMeta
from cellar.ports.sessions.record import MOST_VERSIONS
from cellar.store.sessions.record_codec import (
    Entry,
    pack_entry,
    pack_head,
    pack_meta,
    pack_past,
    pack_writers,
    unpack_entry,
    unpack_head,
    unpack_past,
    unpack_writers,
    who,
)
from tests.store.session_values import a_change, a_record

epochs = st.binary(min_size=8, max_size=8)
positions = st.builds(Position, epochs, st.integers(0, 2**53), st.binary(min_size=16, max_size=16))
metas = st.builds(
    SessionMeta,
    model=st.text(min_size=1, max_size=40),
    model_digest=st.text(max_size=64),
    batch_size=st.integers(1, 4096),
    kernel_rev=st.integers(0, 2**32 - 1),
    ttl_s=st.integers(1, 2**31),
    created_s=st.floats(0, 2**40),
    incarnation=epochs,
    history=st.integers(0, 256),
    log=st.integers(0, 10**6),
    events=st.integers(0, 10**5),
    pinned=st.booleans(),
)


@given(metas, positions, st.integers(0, 2**63))
def test_a_head_and_its_meta_hold_everything(meta: SessionMeta, position: Position, revision: int) -> None:
    head = pack_head(meta, position, revision)
    assert unpack_head(head, pack_meta(meta)) == (meta, position, revision)
    assert head[1:9] == meta.incarnation  # where the commit script looks for it


@given(metas, positions, positions)
def test_heads_differ_where_positions_do(meta: SessionMeta, one: Position, other: Position) -> None:
    assert (pack_head(meta, one, 1) == pack_head(meta, other, 1)) == (one == other)


def test_a_head_with_the_meta_of_another_model_is_refused() -> None:
    record = a_record()
    other = dataclasses.replace(record.meta, model_digest="e" * 64)
    with pytest.raises(StoreCorrupt):
        unpack_head(pack_head(record.meta, record.position, 0), pack_meta(other))


@pytest.mark.parametrize("damage", [b"", b"\x02" + b"\0" * 68, b"\x01short"])
def test_a_head_of_another_schema_is_refused(damage: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        unpack_head(damage, pack_meta(a_record().meta))


@pytest.mark.parametrize("meta", [b"", b"[1,2]", b"{not json"])
def test_damaged_meta_is_refused(meta: bytes) -> None:
    record = a_record()
    with pytest.raises(StoreCorrupt):
        unpack_head(pack_head(record.meta, record.position, 0), meta)


def test_an_entry_says_what_was_before_and_after() -> None:
    before = a_record().position
    change = a_change(before, 1.0, 2.0, 3.0)
    entry = unpack_entry(pack_entry(change, 7, 1000))
    assert entry == Entry(7, False, before, change.after, 3, change.nonce, None, change.output)
    ordered = a_change(before, 1.0, 2.0, 3.0, identity=Identity(position=before))
    entry = unpack_entry(pack_entry(ordered, 0, 11))
    assert entry == Entry(0, True, before, ordered.after, 3, ordered.fingerprint, None, None)


def test_an_entry_says_whose_it_was_and_which() -> None:
    before = a_record().position
    mine = a_change(before, 1.0, identity=Identity(writer="pump", seq=1))
    entry = unpack_entry(pack_entry(mine, 0, 1000))
    assert entry.who == who(mine.identity)
    assert (entry.mark, entry.output) == (mine.fingerprint, mine.output)
    assert entry.is_of(mine)
    for identity in (Identity(writer="pump", seq=2), Identity(writer="valve", seq=1), Identity(position=before)):
        assert not entry.is_of(dataclasses.replace(mine, identity=identity))


def test_an_entry_of_a_change_that_moves_nothing() -> None:
    here = a_change(a_record().position, 1.0, 2.0, 3.0).after
    stays = dataclasses.replace(a_change(here, 1.0), kind="settings", steps=0, after=here)
    entry = unpack_entry(pack_entry(stays, 4, 100))
    assert (entry.before, entry.after) == (here, here)


@pytest.mark.parametrize("deleted", [None, DeletedModel(1, 3, False, ((0, "h", 2, "gru"),))])
@pytest.mark.parametrize("following", [None, Following("live", 1_700_000_000_123, ((0, "co2@1"), (7, "co2@2")))])
@pytest.mark.parametrize("learning", ["", '{"type":"rls"}'])
def test_metadata_are_read_as_they_were_written(
    deleted: DeletedModel | None, following: Following | None, learning: str
) -> None:
    record = a_record()
    meta = dataclasses.replace(record.meta, deleted=deleted, following=following, learning=learning)
    assert unpack_head(pack_head(meta, record.position, 3), pack_meta(meta)) == (meta, record.position, 3)


def test_a_session_knows_which_version_ran_a_change() -> None:
    following = Following.of("live", 1, "co2@1", revision=3).after(7, "co2@2", 2)
    assert [following.ran(revision) for revision in (2, 3, 6, 7, 99)] == [None, "co2@1", "co2@1", "co2@2", "co2@2"]
    for number in range(MOST_VERSIONS):
        following = following.after(100 + number, f"co2@{3 + number}", 3 + number)
    assert len(following.versions) == MOST_VERSIONS
    assert following.ran(99) is None, "that is too long ago"


@given(st.lists(st.tuples(st.integers(0, 2 * MAX_WRITERS), st.integers(1, 2**53)), max_size=3 * MAX_WRITERS))
def test_writers_are_remembered_in_their_places_and_the_oldest_leaves(requests: list[tuple[int, int]]) -> None:
    writers, recent = NO_WRITERS, dict[str, int]()
    for revision, (number, seq) in enumerate(requests):
        name = f"writer-{number}"
        place = writers.place(name)
        writers = writers.after(name, seq, revision)
        assert writers.place(name) == place
        recent.pop(name, None)
        recent[name] = seq
        if len(recent) > MAX_WRITERS:
            del recent[next(iter(recent))]
    assert {name: writers.last(name) for name in recent} == recent
    assert len(writers.all) == len(recent)
    assert unpack_writers(pack_writers(writers)) == writers


def test_a_past_holds_where_it_was() -> None:
    record = dataclasses.replace(a_record(), revision=9)
    assert unpack_past(pack_past(record)) == (9, record.position, record.state)


def test_cut_entries_are_refused() -> None:
    change = a_change(a_record().position, 1.0)
    with pytest.raises(StoreCorrupt):
        unpack_entry(pack_entry(change, 0, 0)[:-1])
    with pytest.raises(StoreCorrupt):
        unpack_writers(b"short")
    with pytest.raises(StoreCorrupt):
        unpack_past(b"short")
