"""What the api does with jobs."""

import numpy as np
import pytest

from cellar.errors import BlobUnknown, FingerprintMismatch, InvalidInput, JobActive, JobUnknown, ModelUnknown
from cellar.jobs.options import JobOptions, training_spec
from cellar.jobs.queue import JobQueue
from cellar.jobs.submission.submission import Jobs
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import TRAINING, Clock, Workshop, walks


def test_a_submitted_job_is_queued_with_the_newest_version_pinned(workshop: Workshop) -> None:
    job = workshop.submit()
    assert (job.state, job.spec["model"], job.created_s) == ("queued", "walk@1", 1_700_000_000.5)
    assert workshop.jobs.get("default", job.job) == job
    assert workshop.jobs.list("default") == ([job], "")
    assert workshop.room.job_queue.waiting(job)
    assert training_spec(job) == TRAINING


@pytest.mark.parametrize(
    "training",
    [
        TrainingSpec(),
        TrainingSpec.model_validate(
            {
                "state": "carry",
                "window": 7,
                "recompute": 2,
                "warmup": 3,
                "skip": 2,
                "loss": {"type": "huber", "delta": 0.1},
                "optimiser": {"type": "adamw", "learning_rate": 0.003, "schedule": {"type": "cosine"}, "clip_norm": 1},
                "validation": 0.1,
                "early_stopping": {"patience": 2},
                "seed": 2**63 - 1,
            }
        ),
    ],
)
def test_a_job_trains_as_it_was_asked_to(workshop: Workshop, training: TrainingSpec) -> None:
    job = workshop.submit(training)
    assert training_spec(workshop.jobs.get("default", job.job)) == training


def test_what_cannot_work_is_refused_before_anything_is_stored(workshop: Workshop) -> None:
    before = workshop.room.keys()
    data = walks()
    with pytest.raises(ModelUnknown):
        workshop.jobs.submit("default", "other", data, TRAINING)
    with pytest.raises(InvalidInput):
        workshop.jobs.submit("default", "walk", Dataset(np.repeat(data.inputs, 2, axis=2), data.targets), TRAINING)
    assert workshop.room.keys() == before


def test_the_same_key_makes_one_job(workshop: Workshop) -> None:
    first = workshop.jobs.submit("default", "walk", walks(), TRAINING, key="once")
    assert workshop.run(first.job).result == "walk@2"
    again = workshop.jobs.submit("default", "walk", walks(), TRAINING, key="once")
    assert (again.job.job, again.job.state) == (first.job.job, "succeeded")
    assert (first.replayed, again.replayed) == (False, True)
    assert workshop.jobs.list("default") == ([again.job], "")
    with pytest.raises(FingerprintMismatch):
        workshop.jobs.submit("default", "walk", walks(), TrainingSpec(epochs=6), key="once")
    with pytest.raises(FingerprintMismatch):
        workshop.jobs.submit("default", "walk", walks(), TRAINING, options=JobOptions("high"), key="once")


def test_a_job_is_accepted_while_only_the_queue_is_away(workshop: Workshop) -> None:
    room = workshop.room
    away = JobQueue(sync_client("unix:///nowhere.sock"), room.prefix)
    jobs = Jobs(room.store, room.blobs, workshop.registry, away, Clock())
    assert jobs.get("default", jobs.submit("default", "walk", walks(), TRAINING).job.job).state == "queued"


def test_unknown_jobs_are_unknown(workshop: Workshop) -> None:
    for ask in (workshop.jobs.get, workshop.jobs.history, workshop.jobs.cancel, workshop.jobs.delete):
        with pytest.raises(JobUnknown):
            ask("default", "nothing")


def test_a_job_that_has_ended_is_deleted_with_its_blobs(workshop: Workshop) -> None:
    jobs, blobs = workshop.jobs, workshop.room.blobs
    queued = workshop.submit()
    dataset = queued.spec["data"]["blob"]
    with pytest.raises(JobActive):
        jobs.delete("default", queued.job)
    assert blobs.get(dataset)
    assert workshop.run(queued).result == "walk@2"
    jobs.delete("default", queued.job)
    with pytest.raises(BlobUnknown):
        blobs.get(dataset)
    assert workshop.registry.get("default", "walk@2").ref == "walk@2"
    assert jobs.list("default") == ([], "")


def test_the_unfinished_jobs_of_a_model_are_counted_and_cancelled(workshop: Workshop) -> None:
    jobs = workshop.jobs
    assert workshop.run(workshop.submit()).state == "succeeded"
    queued = [workshop.submit() for _ in range(2)]  # these train walk@2
    assert [jobs.unfinished("default", model) for model in ("walk", "walk@1", "walk@2", "wal")] == [2, 0, 2, 0]
    assert jobs.cancel_unfinished("default", "walk@1") == 0
    assert jobs.cancel_unfinished("default", "walk") == 2
    assert [jobs.get("default", job.job).state for job in queued] == ["cancelled", "cancelled"]
    assert jobs.unfinished("default", "walk") == 0
