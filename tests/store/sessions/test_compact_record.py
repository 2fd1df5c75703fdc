"""The compact form of a session: what goes in comes out, and it commits as the original does."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from cellar.ports import NO_WRITERS, DeletedModel, Following, Position, SessionKey, SessionMeta, SessionRecord
from cellar.store.keys import SessionKeys
from cellar.store.protocol.script import load_script
from cellar.store.sessions.commits.command import Retention
from cellar.store.sessions.commits.fast_path import FastCommitEncoder
from cellar.store.sessions.compact_record import compact, expand
from cellar.store.sessions.record_codec import HEAD_BYTES, pack_head
from tests.store.session_values import a_commit, a_record
from tests.store.sessions.test_record_codec import metas, positions


def packed(record: SessionRecord) -> bytes:
    """Return a record in its compact form."""
    return compact(record, pack_head(record.meta, record.position, record.revision))


@given(metas, positions, st.integers(0, 2**63), st.binary(max_size=100), st.lists(st.sampled_from("abc"), max_size=4))
def test_it_holds_everything(
    meta: SessionMeta, position: Position, revision: int, state: bytes, names: list[str]
) -> None:
    writers = NO_WRITERS
    for number, name in enumerate(names):
        writers = writers.after(name, number + 1, number)
    record = SessionRecord(SessionKey("default", "a/b"), meta, position, revision, state, writers)
    assert expand(record.key, packed(record)) == record


def test_it_holds_the_alias_that_a_session_follows_and_the_sizes_of_a_deleted_model() -> None:
    deleted = DeletedModel(1, 3, False, ((0, "h", 2, "gru"),))
    following = Following.of("live", 5, "co2@1").after(7, "co2@2", 9)
    for options in ({"deleted": deleted}, {"following": following}, {"deleted": deleted, "following": following}):
        record = a_record()
        record = dataclasses.replace(record, meta=dataclasses.replace(record.meta, **options))
        assert expand(record.key, packed(record)) == record


def test_a_session_that_was_compact_commits_the_same_bytes() -> None:
    encoder = FastCommitEncoder(load_script("session/commit"), SessionKeys("test"), Retention(32, 4096, 1000, 1000))
    commit = a_commit(a_record(), 1.0)
    expected = encoder.encode(commit)
    data = compact(commit.before, encoder.head(commit.before))
    record = expand(commit.before.key, data)
    encoder.prepare(record, data[:HEAD_BYTES])
    assert encoder.encode(dataclasses.replace(commit, before=record)) == expected
    assert encoder.head(record) == data[:HEAD_BYTES]
