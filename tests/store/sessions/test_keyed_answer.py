"""The answer for an Idempotency-Key: what goes in comes out, and what was never packed is refused."""

import dataclasses

import pytest

from cellar.errors import StoreCorrupt
from cellar.ports import Following
from cellar.store.sessions.keyed_answer import Keyed, pack_keyed, unpack_keyed
from tests.store.session_values import a_change, a_record


def test_a_keyed_answer_says_whose_it_is() -> None:
    record = a_record()
    change, meta = a_change(record.position, 1.0), record.meta
    packed = pack_keyed(change, meta, 1000)
    assert unpack_keyed(packed) == Keyed(meta.incarnation, change.fingerprint, change.after, 1, change.output)
    assert packed[:8] == meta.incarnation  # where the commit script looks for it
    assert unpack_keyed(pack_keyed(change, meta, 3)).output is None


def test_a_keyed_answer_of_a_session_that_follows_an_alias_says_which_version_ran() -> None:
    record = a_record()
    meta = dataclasses.replace(record.meta, following=Following.of("live", 5, record.meta.model))
    change = a_change(record.position, 1.0)
    for cap, output in ((1000, change.output), (3, None)):
        found = unpack_keyed(pack_keyed(change, meta, cap))
        assert found == Keyed(meta.incarnation, change.fingerprint, change.after, 1, output, meta.model)


def test_a_cut_answer_is_refused() -> None:
    record = a_record()
    with pytest.raises(StoreCorrupt):
        unpack_keyed(pack_keyed(a_change(record.position, 1.0), record.meta, 0)[:-1])
