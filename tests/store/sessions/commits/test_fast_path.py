"""Plain commits are written at once, and byte for byte as they are the long way."""

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cellar.ports import (
    APPEND,
    MAX_WRITERS,
    NO_WRITERS,
    Change,
    Commit,
    Identity,
    Position,
    RedoEntry,
    SessionKey,
    SessionMeta,
    SessionRecord,
    StepChanges,
)
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import pack
from cellar.store.sessions.commits.command import CommitEncoder, Retention
from cellar.store.sessions.commits.fast_path import FEWEST, FastCommitEncoder
from cellar.store.sessions.store import COMMIT
from tests.store.session_values import a_commit, a_record, at

KEYS, RETENTION = (
    SessionKeys("cellar"),
    Retention(window=4, output_cap_bytes=20, idempotency_ms=5000, tombstone_ms=86_400_000),
)
GENERAL, FAST = CommitEncoder(COMMIT, KEYS, RETENTION), FastCommitEncoder(COMMIT, KEYS, RETENTION)

EPOCHS, MARKS = st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16)
POSITIONS = st.builds(Position, EPOCHS, st.integers(0, 2**53), MARKS)
IDENTITIES = st.one_of(
    st.sampled_from([APPEND, Identity(), Identity(step=0), Identity(key="once"), Identity(step=3, key="once")]),
    POSITIONS.map(at),
    st.builds(lambda number, seq: Identity(writer=f"w{number}", seq=seq), st.integers(0, 70), st.integers(1, 9)),
)
METAS = st.builds(
    SessionMeta,
    model=st.just("co2@1"),
    model_digest=st.sampled_from(["d" * 64, "e" * 64]),
    batch_size=st.just(1),
    kernel_rev=st.integers(0, 9),
    ttl_s=st.integers(1, 10**8),
    created_s=st.just(1.5),
    incarnation=EPOCHS,
    history=st.just(0) | st.sampled_from([0, 2]),
    log=st.just(0) | st.sampled_from([0, 9]),
    events=st.just(0) | st.sampled_from([0, 9]),
    pinned=st.booleans(),
)


@st.composite
def step_changes(draw: st.DrawFn, before: Position, steps: int) -> StepChanges:
    """Return changes of so many single steps."""
    each = st.binary(min_size=16 * steps, max_size=16 * steps)
    outputs = steps * draw(st.sampled_from([b"", b"four", b"a dozen byte", b"more than are ever kept."]))
    return StepChanges(before, draw(each), draw(each), outputs, numbered=draw(st.booleans()))


@st.composite
def commits(draw: st.DrawFn) -> list[Commit]:
    """Return some commits of a session, each of which goes on where the one before ends."""
    key = SessionKey("default", draw(st.text("ab.-_", min_size=1, max_size=30)))
    writers = NO_WRITERS
    for number in range(draw(st.sampled_from([0, 3, MAX_WRITERS - 1, MAX_WRITERS]))):
        writers = writers.after(f"w{number}", 1, draw(st.integers(0, 9)))
    revision, state = draw(st.integers(0, 10**6)), draw(st.binary(max_size=40))
    record = SessionRecord(key, draw(METAS), draw(POSITIONS), revision, state, writers)
    found: list[Commit] = []
    for _ in range(draw(st.integers(1, 4))):
        changes: list[Change] = []
        at_ = record.position
        steps = draw(st.just(0) | st.sampled_from([FEWEST - 1, FEWEST]))
        for _ in range(0 if steps else draw(st.integers(1, RETENTION.window))):
            after = draw(POSITIONS)
            changes.append(
                Change(
                    draw(st.sampled_from(["step", "reset"])),
                    at_,
                    after,
                    draw(st.integers(0, 1000)),
                    draw(IDENTITIES),
                    draw(MARKS),
                    draw(MARKS),
                    draw(st.binary(max_size=30)),
                )
            )
            at_ = after
        same = st.just(record.state) | st.binary(max_size=40)
        meta = draw(st.none() | st.just(dataclasses.replace(record.meta, ttl_s=7)))
        all_of_them = draw(step_changes(at_, steps)) if steps else tuple(changes)
        redo = draw(st.none() | st.builds(RedoEntry, st.just(record.revision), st.just(1), st.just(1), MARKS, MARKS))
        found.append(Commit(record, all_of_them, draw(same), meta, draw(st.sampled_from([0.0, 0.0, 0.05])), redo))
        record = found[-1].after
    return found


@given(commits())
def test_a_plain_commit_is_written_as_any_other(chain: list[Commit]) -> None:
    for commit in chain:
        written = FAST.encode(commit)
        assert written in (None, pack([GENERAL.call(commit)]))


@given(commits())
def test_a_commit_leaves_the_writers_that_its_requests_leave_one_by_one(chain: list[Commit]) -> None:
    for commit in chain:
        writers = commit.before.writers
        for revision, change in enumerate(commit.changes, commit.before.revision):
            writers = writers.after(change.identity.writer, change.identity.seq, revision)
        assert commit.after.writers == writers


def test_steps_are_plain_however_they_are_recognised_but_by_a_key() -> None:
    record = a_record()
    for identity in (APPEND, Identity(), Identity(step=0), at(record.position), Identity(writer="pump", seq=1)):
        commit = a_commit(record, 1.0, 2.0, identity=identity)
        assert FAST.encode(commit) == pack([GENERAL.call(commit)])
        again = a_commit(commit.after, 3.0)
        assert FAST.encode(again) == pack([GENERAL.call(again)])


def test_what_a_record_carries_on_is_of_the_store_that_wrote_it() -> None:
    """Another one may have other names and lifetimes."""
    other_keys, other_keep = SessionKeys("other"), dataclasses.replace(RETENTION, tombstone_ms=1000)
    other = FastCommitEncoder(COMMIT, other_keys, other_keep)
    commit = a_commit(a_record(), 1.0)
    assert (
        FAST.encode(commit)
        != other.encode(commit)
        == pack([CommitEncoder(COMMIT, other_keys, other_keep).call(commit)])
    )


def test_whatever_asks_for_more_is_not_plain() -> None:
    def written(commit: Commit, **meta: Any) -> bytes | None:
        before = dataclasses.replace(commit.before, meta=dataclasses.replace(commit.before.meta, **meta))
        return FAST.encode(dataclasses.replace(commit, before=before))

    record = a_record()
    plain = a_commit(record, 1.0)
    assert written(plain)
    assert not any(written(plain, **{name: 5}) for name in ("history", "log", "events"))
    assert not written(a_commit(record, 1.0, identity=Identity(key="once")))
    assert not written(a_commit(record, 1.0, wanted_pause_s=0.05))
    assert not written(dataclasses.replace(plain, meta=record.meta))


def test_a_plain_commit_may_have_a_state_of_another_size() -> None:
    commit = dataclasses.replace(a_commit(a_record(), 1.0), state=b"\0" * 33)
    assert FAST.encode(commit) == pack([GENERAL.call(commit)])
