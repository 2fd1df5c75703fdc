"""The compact form of a session: what goes in comes out, and it commits as the original does."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from cellar.ports import NO_WRITERS, DeletedModel, Following, Position, SessionKey, SessionMeta, SessionRecord
from cellar.store.keys import SessionKeys
from cellar.store.protocol.script import load_script
from cellar.store.sessions.commits.command import Retention
from cellar.store.sessions.commits.fast_path import FastCommitEncoder
from tests.store.session_values import a_commit, a_record
from tests.store.sessions.test_record_codec import metas, positions

ENCODER = FastCommitEncoder(load_script("session/commit"), SessionKeys("test"), Retention(32, 4096, 1000, 1000))


@given(metas, positions, st.integers(0, 2**63), st.binary(max_size=100), st.lists(st.sampled_from("abc"), max_size=4))
def test_it_holds_everything(
    meta: SessionMeta, position: Position, revision: int, state: bytes, names: list[str]
) -> None:
    writers = NO_WRITERS
    for number, name in enumerate(names):
        writers = writers.after(name, number + 1, number)
    record = SessionRecord(SessionKey("default", "a/b"), meta, position, revision, state, writers)
    record.unstored = len(state)
    found = ENCODER.expand(record.key, ENCODER.compact(record))
    assert (found, found.unstored) == (record, record.unstored)


def test_it_holds_the_alias_that_a_session_follows_and_the_sizes_of_a_deleted_model() -> None:
    deleted = DeletedModel(1, 3, False, ((0, "h", 2, "gru"),))
    following = Following.of("live", 5, "co2@1").after(7, "co2@2", 9)
    for options in ({"deleted": deleted}, {"following": following}, {"deleted": deleted, "following": following}):
        record = a_record()
        record = dataclasses.replace(record, meta=dataclasses.replace(record.meta, **options))
        assert ENCODER.expand(record.key, ENCODER.compact(record)) == record


def test_a_session_that_was_compact_commits_the_same_bytes() -> None:
    commit = a_commit(a_record(), 1.0)
    expected = ENCODER.encode(commit)
    before = ENCODER.expand(commit.before.key, ENCODER.compact(commit.before))
    assert ENCODER.encode(dataclasses.replace(commit, before=before)) == expected
    assert ENCODER.compact(before) == ENCODER.compact(dataclasses.replace(commit.before))
