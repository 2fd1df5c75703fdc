"""Checkpoints: written now and then, one at a time, found again by the next attempt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from cellar.errors import StoreCorrupt, Superseded
from cellar.jobs.attempt.checkpoint import Recorder
from cellar.jobs.job_blobs import unwrap_checkpoint, wrap_checkpoint
from cellar.nn.training.checkpoints.progress import EpochRecord, Progress
from cellar.ports import Lease
from cellar.store.catalogue.jobs import RedisJobs
from tests.jobs.conftest import Room


class Clock:
    """A clock that stands still between two looks at it, unless it is moved."""

    now_s = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


def progress(state: bytes, epochs_done: int = 0) -> Progress:
    """Return the progress of a run whose state is these bytes."""
    history = tuple(EpochRecord(epoch, 1 / epoch, None, 0.1) for epoch in range(1, epochs_done + 1))
    return Progress(
        epoch=epochs_done + 1,
        epochs=9,
        update=1,
        updates=4,
        loss=0.5,
        finished=False,
        history=history,
        kept=history[-1] if history else None,
        weights=lambda: {"0.W": np.zeros((1, 1), dtype=np.float32)},
        checkpoint=lambda: state,
    )


def begin(room: Room, clock: Clock | None = None) -> tuple[Lease, Recorder]:
    """Return the next attempt, as a worker begins it."""
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    job = room.store.get("default", "j1")
    return lease, Recorder(room.store, room.blobs, lease, job, clock or Clock())


def test_the_next_attempt_goes_on_where_the_newest_checkpoint_was(room: Room) -> None:
    room.submit()
    lease, recorder = begin(room)
    assert recorder.resume() is None
    recorder.checkpoint(progress(b"one", 1))
    recorder.checkpoint(progress(b"two", 2))
    room.store.renew(lease, 0)
    _, recorder = begin(room)
    assert recorder.resume() == b"two"
    job = room.store.get("default", "j1")
    assert job.progress.items() >= {"epoch": 3, "epochs": 9, "update": 1, "updates": 4, "loss": 0.5}.items()
    assert [record["epoch"] for record in room.store.history("default", "j1")] == [1, 2]


def test_the_next_attempt_tells_what_is_newer_than_the_checkpoint(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    told = list[int]()
    report = RedisJobs.report

    def note(
        store: RedisJobs,
        lease: Lease,
        progress: dict[str, Any],
        checkpoint: str | None = None,
        *,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        told.extend(record["epoch"] for record in history)
        report(store, lease, progress, checkpoint, history=history)

    monkeypatch.setattr(RedisJobs, "report", note)
    room.submit()
    lease, recorder = begin(room)
    recorder.checkpoint(progress(b"one", 1))
    recorder.checkpoint(progress(b"two", 2))
    room.store.renew(lease, 0)
    _, recorder = begin(room)
    assert recorder.resume() == b"two"
    recorder.checkpoint(progress(b"three", 3))
    assert told == [1, 2, 3]


def test_there_is_one_checkpoint_at_a_time(room: Room) -> None:
    room.submit()
    _, recorder = begin(room)
    before = len(room.keys())
    for state in (b"one", b"two", b"two", b"three"):
        recorder.checkpoint(progress(state))
    assert len(room.keys()) == before + 2  # a head and a chunk


def test_one_that_was_not_recorded_is_deleted_by_the_next_attempt(room: Room) -> None:
    room.submit()
    lease, _ = begin(room)
    lost = room.blobs.put(wrap_checkpoint(lease, b"lost"))
    room.store.claim(lease, lost)
    room.store.renew(lease, 0)
    _, recorder = begin(room)
    recorder.checkpoint(progress(b"one"))
    assert lost not in "".join(room.keys())


def test_a_superseded_attempt_stores_nothing(room: Room) -> None:
    room.submit()
    lease, stale = begin(room)
    room.store.renew(lease, 0)
    _, recorder = begin(room)
    recorder.checkpoint(progress(b"new"))
    before = room.keys()
    with pytest.raises(Superseded):
        stale.checkpoint(progress(b"old"))
    assert room.keys() == before
    assert recorder.resume() == b"new"


def test_a_checkpoint_that_cannot_be_read_means_beginning_again(room: Room) -> None:
    room.submit()
    _, recorder = begin(room)
    recorder.checkpoint(progress(b"one"))
    checkpoint = room.store.get("default", "j1").checkpoint
    assert checkpoint is not None
    room.blobs.delete(checkpoint)
    assert recorder.resume() is None


def test_is_due_at_once_and_then_every_second(room: Room) -> None:
    room.submit()
    clock = Clock()
    _, recorder = begin(room, clock)
    assert recorder.is_due()
    recorder.checkpoint(progress(b"one"))
    assert not recorder.is_due()
    clock.now_s += 1
    assert recorder.is_due()


def test_two_jobs_on_the_same_state_have_blobs_of_their_own() -> None:
    blobs = {wrap_checkpoint(Lease("default", job, attempt), b"state") for job in ("a", "b") for attempt in (1, 2)}
    assert len(blobs) == 4
    assert {unwrap_checkpoint(blob) for blob in blobs} == {b"state"}


@pytest.mark.parametrize("blob", [b"", b"cellar checkpoint default/a 1", b"something else\nstate"])
def test_what_is_no_checkpoint_is_refused(blob: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        unwrap_checkpoint(blob)
