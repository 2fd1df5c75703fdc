"""The packed record: what goes in comes out, and what was never packed is refused."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import StoreCorrupt
from cellar.ports import Identity, Position, SessionMeta
from cellar.store.record import (
    Entry,
    Keyed,
    pack_entry,
    pack_head,
    pack_keyed,
    pack_meta,
    unpack_entry,
    unpack_head,
    unpack_keyed,
)
from tests.store.session_values import a_commit, a_record

epochs = st.binary(min_size=8, max_size=8).map(bytes.hex)
positions = st.builds(Position, epochs, st.integers(0, 2**53), st.binary(min_size=16, max_size=16).map(bytes.hex))
metas = st.builds(
    SessionMeta,
    model=st.text(min_size=1, max_size=40),
    model_digest=st.text(max_size=64),
    batch_size=st.integers(1, 4096),
    kernel_rev=st.integers(0, 2**32 - 1),
    ttl_s=st.integers(1, 2**31),
    created_s=st.floats(0, 2**40),
    birth=epochs,
)


@given(metas, positions, st.integers(0, 2**63))
def test_a_head_and_its_meta_hold_everything(meta: SessionMeta, position: Position, revision: int) -> None:
    head = pack_head(meta, position, revision)
    assert unpack_head(head, pack_meta(meta)) == (meta, position, revision)
    assert head[1:9].hex() == meta.birth  # where the commit script looks for it


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
    commit = a_commit(a_record(), 1.0, 2.0, 3.0)
    before = commit.before.position
    entry = unpack_entry(pack_entry(commit, 1000))
    assert entry == Entry(0, False, before, commit.position, 3, commit.nonce, commit.output)
    ordered = dataclasses.replace(commit, identity=Identity(position=before))
    entry = unpack_entry(pack_entry(ordered, 11))
    assert entry == Entry(0, True, before, commit.position, 3, commit.fingerprint, None)


def test_a_keyed_answer_says_whose_it_is() -> None:
    commit = a_commit(a_record(), 1.0)
    birth = commit.before.meta.birth
    packed = pack_keyed(commit, 1000)
    assert unpack_keyed(packed) == Keyed(birth, commit.fingerprint, commit.position, 1, commit.output)
    assert packed[:8].hex() == birth  # where the commit script looks for it
    assert unpack_keyed(pack_keyed(commit, 3)).output is None


def test_cut_entries_are_refused() -> None:
    commit = a_commit(a_record(), 1.0)
    with pytest.raises(StoreCorrupt):
        unpack_entry(pack_entry(commit, 0)[:-1])
    with pytest.raises(StoreCorrupt):
        unpack_keyed(pack_keyed(commit, 0)[:-1])
