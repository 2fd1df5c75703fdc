"""Redo entries: what goes in comes out, and what is damaged is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import StoreCorrupt
from cellar.ports import RedoEntry
from cellar.store.sessions.commits.redo_entries import pack_redo, unpack_copied_state, unpack_redo
from cellar.store.sessions.record_codec import pack_head
from tests.store.session_values import a_record

META, POSITION = a_record().meta, a_record().position


@st.composite
def chains(draw: st.DrawFn) -> list[RedoEntry]:
    """Return consecutive entries."""
    revision, found = draw(st.integers(0, 2**50)), list[RedoEntry]()
    for _ in range(draw(st.integers(1, 4))):
        changes, steps = draw(st.integers(1, 3)), draw(st.integers(1, 9))
        inputs, flags = draw(st.binary(max_size=99)), draw(st.just(b"") | st.binary(max_size=9))
        found.append(RedoEntry(revision, changes, steps, inputs, flags))
        revision += changes
    return found


def head_after(chain: list[RedoEntry]) -> bytes:
    """Return the head of a session after these commits."""
    return pack_head(META, POSITION, chain[-1].revision + chain[-1].changes, redo=True)


@given(chains(), st.binary(max_size=40))
def test_they_come_back_from_a_record_and_from_a_copy(chain: list[RedoEntry], state: bytes) -> None:
    head, packed = head_after(chain), [pack_redo(entry) for entry in chain]
    assert list(unpack_redo(head, packed)) == chain
    copied = b"".join(len(part).to_bytes(4, "little") + part for part in (state, *packed))
    found, redo = unpack_copied_state(head, copied)
    assert (found, list(redo)) == (state, chain)
    with pytest.raises(StoreCorrupt):
        unpack_copied_state(head, copied[:-1])


@given(chains())
def test_those_that_do_not_lead_to_the_present_are_refused(chain: list[RedoEntry]) -> None:
    head, packed = head_after(chain), [pack_redo(entry) for entry in chain]
    for damaged in (packed[:-1], [*packed, packed[-1]], [packed[0][:9], *packed[1:]]):
        with pytest.raises(StoreCorrupt):
            unpack_redo(head, damaged)


def test_a_head_without_them_has_none() -> None:
    head = pack_head(META, POSITION, 7)
    assert unpack_redo(head, [b"of before"]) == ()
    assert unpack_copied_state(head, b"state") == (b"state", ())


def test_inputs_that_cannot_be_expanded_are_refused() -> None:
    entry = RedoEntry(0, 1, 1, b"inputs", b"flags")
    packed = pack_redo(entry)
    with pytest.raises(StoreCorrupt):
        unpack_redo(head_after([entry]), [packed[:-4]])
