"""The table of outcomes (design, section 5), row by row."""

from dataclasses import replace

import pytest

from cellar.errors import (
    Diverged,
    EpochChanged,
    FingerprintMismatch,
    Overlap,
    PositionConflict,
    Regressed,
    ReplayExpired,
    StepTaken,
    WriterUnknown,
)
from cellar.ports import Commit, Committed, Identity, Position, SessionRecord
from cellar.store.sessions.deduplication import judge
from cellar.store.sessions.keyed_answer import Keyed
from cellar.store.sessions.record_codec import Entry, pack_entry, unpack_entry
from tests.store.session_values import a_change, a_commit, a_record, a_reset, after, answered, at, only

BODY = b"f" * 16
OTHER = b"g" * 16


def entry(commit: Commit) -> Entry:
    return unpack_entry(pack_entry(only(commit), commit.before.revision, 4096))


@pytest.fixture
def begin() -> SessionRecord:
    """Return a session at step 0."""
    return a_record()


def test_without_identity_every_request_is_new(begin: SessionRecord) -> None:
    assert judge(begin, [entry(a_commit(begin, 1.0))], None, Identity(), BODY) is None


@pytest.mark.parametrize("by", ["position", "step"])
def test_a_request_for_the_present_step_may_run(begin: SessionRecord, by: str) -> None:
    identity = at(begin.position) if by == "position" else Identity(step=0)
    assert judge(begin, [], None, identity, BODY) is None


@pytest.mark.parametrize("first", ["position", "step"])
@pytest.mark.parametrize("again", ["position", "step"])
def test_the_same_step_and_body_is_a_replay(begin: SessionRecord, first: str, again: str) -> None:
    identities = {"position": at(begin.position), "step": Identity(step=0)}
    done = a_commit(begin, 1.0, identity=identities[first])
    found = judge(after(done), [entry(done)], None, identities[again], only(done).fingerprint)
    assert found == answered(done)


@pytest.mark.parametrize("by", ["position", "step"])
def test_the_same_step_and_another_body_is_taken(begin: SessionRecord, by: str) -> None:
    identity = at(begin.position) if by == "position" else Identity(step=0)
    done = a_commit(begin, 1.0, identity=identity)
    with pytest.raises(StepTaken) as caught:
        judge(after(done), [entry(done)], None, identity, OTHER)
    assert caught.value.position == str(only(done).after)


def test_an_append_at_that_step_is_somebody_elses_even_with_the_same_body(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0)
    with pytest.raises(StepTaken):
        judge(after(done), [entry(done)], None, at(begin.position), only(done).fingerprint)


@pytest.mark.parametrize("by", ["position", "step"])
def test_a_client_ahead_of_the_server_is_told_so(begin: SessionRecord, by: str) -> None:
    ahead = a_change(begin.position, 1.0, 2.0).after
    with pytest.raises(Regressed):
        judge(begin, [], None, at(ahead) if by == "position" else Identity(step=2), BODY)


def test_another_digest_at_the_present_step_has_diverged(begin: SessionRecord) -> None:
    mine, theirs = a_commit(begin, 1.0), a_commit(begin, 2.0)
    with pytest.raises(Diverged):
        judge(after(theirs), [entry(theirs)], None, at(only(mine).after), BODY)


def test_another_digest_at_a_step_of_the_window_has_diverged(begin: SessionRecord) -> None:
    mine, theirs = a_commit(begin, 1.0), a_commit(begin, 2.0)
    next_one = a_commit(after(theirs), 3.0)
    with pytest.raises(Diverged):
        judge(after(next_one), [entry(theirs), entry(next_one)], None, at(only(mine).after), BODY)


def test_a_position_of_another_epoch_is_refused(begin: SessionRecord) -> None:
    reset = a_reset(begin)
    with pytest.raises(EpochChanged):
        judge(after(reset), [entry(reset)], None, at(a_change(begin.position, 1.0).after), BODY)


def test_what_was_committed_before_a_reset_is_still_replayed(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=at(begin.position))
    reset = a_reset(after(done))
    found = judge(after(reset), [entry(reset), entry(done)], None, only(done).identity, only(done).fingerprint)
    assert found is not None
    assert found.position == only(done).after


def test_another_request_at_a_place_before_a_reset_is_of_another_epoch(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=at(begin.position))
    reset = a_reset(after(done))
    with pytest.raises(EpochChanged):
        judge(after(reset), [entry(reset), entry(done)], None, only(done).identity, OTHER)


def test_a_step_alone_means_the_present_epoch(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=Identity(step=0))
    reset = a_reset(after(done))
    assert judge(after(reset), [entry(reset), entry(done)], None, Identity(step=0), only(done).fingerprint) is None
    with pytest.raises(Regressed):
        judge(after(reset), [entry(reset), entry(done)], None, Identity(step=1), BODY)


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("by", ["position", "step"])
def test_inside_a_committed_sequence_is_an_overlap_with_its_boundaries(
    begin: SessionRecord, step: int, by: str
) -> None:
    sequence = a_commit(begin, 1.0, 2.0, 3.0)
    inside = a_change(begin.position, *[1.0, 2.0][:step]).after
    identity = at(inside) if by == "position" else Identity(step=step)
    with pytest.raises(Overlap) as caught:
        judge(after(sequence), [entry(sequence)], None, identity, BODY)
    assert caught.value.boundaries == (0, 3)


@pytest.mark.parametrize("by", ["position", "step"])
def test_a_step_that_has_left_the_window_cannot_be_replayed(begin: SessionRecord, by: str) -> None:
    old = a_commit(begin, 1.0)
    kept = a_commit(after(old), 2.0)
    with pytest.raises(ReplayExpired):
        judge(after(kept), [entry(kept)], None, at(begin.position) if by == "position" else Identity(step=0), BODY)


def test_a_key_goes_before_any_position(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0)
    keyed = Keyed(begin.meta.incarnation, BODY, only(done).after, 1, b"out")
    stale = Identity(position=Position(b"0" * 8, 9, b"0" * 16), key="k")
    assert judge(after(done), [], keyed, stale, BODY) == Committed(only(done).after, 1, b"out", replayed=True)
    with pytest.raises(FingerprintMismatch):
        judge(after(done), [], keyed, stale, OTHER)


def test_a_key_of_an_earlier_session_does_not_count(begin: SessionRecord) -> None:
    keyed = Keyed(b"0" * 8, OTHER, begin.position, 1, b"out")
    assert judge(begin, [], keyed, Identity(key="k"), BODY) is None


def test_every_conflict_carries_the_present_position(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0)
    for claimed in (
        begin.position,
        begin.position._replace(epoch=b"0" * 8),
        begin.position._replace(step=5),
    ):
        with pytest.raises(PositionConflict) as caught:
            judge(after(done), [entry(done)], None, at(claimed), BODY)
        assert caught.value.position == str(only(done).after)


# --- writers --------------------------------------------------------------------------------------------------------


def by(writer: str, seq: int) -> Identity:
    return Identity(writer=writer, seq=seq)


def test_a_writers_next_request_may_run(begin: SessionRecord) -> None:
    assert judge(begin, [], None, by("pump", 1), BODY) is None
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    assert judge(after(done), [entry(done)], None, by("pump", 2), BODY) is None
    assert judge(after(done), [entry(done)], None, by("valve", 1), BODY) is None


def test_a_writers_request_that_comes_again_is_a_replay(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    found = judge(after(done), [entry(done)], None, by("pump", 1), only(done).fingerprint)
    assert found == answered(done)


def test_the_same_number_with_another_body_is_a_mismatch(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    with pytest.raises(FingerprintMismatch):
        judge(after(done), [entry(done)], None, by("pump", 1), OTHER)


def test_a_writer_that_left_requests_out_is_ahead(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    with pytest.raises(Regressed):
        judge(after(done), [entry(done)], None, by("pump", 3), BODY)


def test_an_unknown_writer_begins_with_its_first(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    with pytest.raises(WriterUnknown):
        judge(after(done), [entry(done)], None, by("valve", 2), BODY)


def test_a_writers_request_that_is_not_kept_cannot_be_replayed(begin: SessionRecord) -> None:
    first = a_commit(begin, 1.0, identity=by("pump", 1))
    second = a_commit(after(first), 1.0, identity=by("pump", 2))
    with pytest.raises(ReplayExpired):
        judge(after(second), [entry(second)], None, by("pump", 1), only(first).fingerprint)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (Identity(step=3), "step 3 came before step 1: the session is at step 1. Send step 1 first, or wait for its"),
        (by("pump", 3), "request 3 of the writer came before request 2: its last is 1. Send request 2 first, or wait"),
        (by("valve", 2), "its next request is 1 and not 2. Send request 1 first, or wait for its answer"),
    ],
)
def test_a_number_that_came_too_early_is_told_what_may_have_happened(
    begin: SessionRecord, identity: Identity, said: str
) -> None:
    done = a_commit(begin, 1.0, identity=by("pump", 1))
    with pytest.raises(PositionConflict) as caught:
        judge(after(done), [entry(done)], None, identity, BODY)
    assert said in caught.value.detail
    assert caught.value.detail.endswith("if it was answered before, the store has lost it")


def test_a_position_that_is_ahead_is_from_an_answer_and_says_that_steps_were_lost(begin: SessionRecord) -> None:
    done = a_commit(begin, 1.0)
    with pytest.raises(Regressed) as caught:
        judge(begin, [], None, at(only(done).after), BODY)
    assert "the store has lost the steps from 0 on" in caught.value.detail


def test_a_change_between_two_steps_is_in_the_way_of_neither(begin: SessionRecord) -> None:
    """A target changes the digest and no step number: a step that is repeated by its number is found behind it."""
    first = a_commit(begin, 1.0, identity=Identity(step=0))
    here = only(first).after
    learnt = replace(a_change(here, 0.0), kind="learn", steps=0, after=here._replace(digest=b"l" * 16))
    second = a_change(learnt.after, 2.0, identity=Identity(step=1))
    entries = [
        unpack_entry(pack_entry(each, number, 4096)) for number, each in enumerate((only(first), learnt, second))
    ]
    record = replace(begin, position=second.after, revision=3)
    found = judge(record, entries, None, Identity(step=1), second.fingerprint)
    assert found is not None
    assert found.position == second.after
