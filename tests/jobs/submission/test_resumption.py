"""Jobs that continue ended jobs, and what is kept of those."""

from pathlib import Path

import numpy as np
import pytest

from cellar.errors import InvalidInput, JobActive, JobNotResumable, JobUnknown
from cellar.jobs.job_blobs import unwrap_checkpoint
from cellar.jobs.options import Publish
from cellar.jobs.sweeper import Sweeper
from cellar.nn.training.checkpoints.checkpoint import read
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.ports import Job
from cellar.store.catalogue.jobs import RedisJobs
from tests.jobs.attempt.test_runner import KilledError, interrupted, kill
from tests.jobs.conftest import NETWORK, TRAINING, Room, Workshop, walks
from tests.jobs.submission.test_forecast_submission import DATA, add, readings

STATE_BYTES = 1 << 20


def keeping(room: Room, state_bytes: int = STATE_BYTES) -> Sweeper:
    """Return a sweeper that keeps the states of succeeded jobs."""
    return Sweeper(RedisJobs(room.client, room.prefix, 60, state_bytes), room.blobs, room.job_queue)


def resume(workshop: Workshop, job: Job, data: Dataset | None = None, model: str = "walk", **fields: object) -> Job:
    """Submit a job that continues another one, and run it."""
    training = TRAINING.model_copy(update=fields)
    made = workshop.jobs.submit("default", model, data or walks(), training, publish="always", resume_from=job.job)
    return workshop.run(made.job)


def weights_of(workshop: Workshop, job: Job) -> dict[str, bytes]:
    """Return the bits of the version that a job has published."""
    assert job.result is not None, job.error
    found = workshop.registry.weights(workshop.registry.get("default", job.result))
    return {name: value.tobytes() for name, value in found.items()}


def test_jobs_that_continue_each_other_are_one_job_with_all_epochs(workshop: Workshop) -> None:
    first = workshop.run(workshop.submit())
    long = TRAINING.model_copy(update={"epochs": 15})
    whole = workshop.run(workshop.jobs.submit("default", "walk@1", walks(), long).job)
    keeping(workshop.room).sweep()
    second = resume(workshop, first)
    assert second.spec["model"] == whole.result, "the model is what is published, not what the job begins with"
    assert (second.spec["begin"]["epochs"], second.spec["begin"]["updates"]) == (5, 10)
    assert weights_of(workshop, second) != weights_of(workshop, whole)
    job = workshop.jobs.submit(
        "default", "walk", walks(), TRAINING, publish="always", resume_from=second.job, key="once"
    ).job
    workshop.jobs.delete("default", second.job)  # the job has a copy
    with pytest.raises(KilledError):
        workshop.run(job, interrupted(3, kill))
    workshop.lapse(job)
    third = workshop.run(job)
    assert third.attempt == 2
    assert weights_of(workshop, third) == weights_of(workshop, whole)
    assert [each["epoch"] for each in workshop.jobs.history("default", third.job)] == [11, 12, 13, 14, 15]
    assert (third.progress["epoch"], third.progress["epochs"], third.spec["updates_total"]) == (15, 15, 10)
    again = workshop.jobs.submit(
        "default", "walk@4", walks(), TRAINING, publish="always", resume_from=second.job, key="once"
    )
    assert again.replayed


def test_a_cancelled_job_and_one_whose_result_was_refused_are_continued(workshop: Workshop) -> None:
    wild = TRAINING.model_copy(update={"optimiser": TRAINING.optimiser.model_copy(update={"learning_rate": 100.0})})
    failed = workshop.run(workshop.submit(wild))
    assert (failed.state, failed.result) == ("failed", None)
    job = resume(workshop, failed, Dataset(walks().inputs[:12], walks().targets[:12]))
    assert (job.state, job.progress["epochs"]) == ("succeeded", 10)
    with pytest.raises(KilledError):
        workshop.run(running := workshop.submit(), interrupted(5, kill))
    with pytest.raises(JobActive):
        resume(workshop, running)
    workshop.lapse(running)
    workshop.jobs.cancel("default", running.job)
    assert resume(workshop, running).state == "succeeded"


def test_what_cannot_be_continued_is_refused_and_stores_nothing(workshop: Workshop) -> None:
    job = workshop.run(workshop.submit())
    other = NETWORK.model_copy(update={"layers": NETWORK.layers[1:]})
    workshop.registry.create("default", "other", other, 1)
    workshop.registry.create("b", "walk", NETWORK, 1)
    before = workshop.room.keys()
    with pytest.raises(JobUnknown):
        resume(workshop, Job("default", "none", "succeeded", {}, 0.0))
    with pytest.raises(JobUnknown):  # that of another tenant
        workshop.jobs.submit("b", "walk", walks(), TRAINING, resume_from=job.job)
    with pytest.raises(InvalidInput, match="another network"):
        resume(workshop, job, model="other")
    lion = TrainingSpec.model_validate({"optimiser": "lion"})
    with pytest.raises(InvalidInput, match="another optimiser"):
        workshop.jobs.submit("default", "walk", walks(), lion, resume_from=job.job)
    workshop.jobs.cancel("default", (unbegun := workshop.submit()).job)
    with pytest.raises(JobNotResumable, match="never stored"):
        resume(workshop, unbegun)
    workshop.jobs.delete("default", unbegun.job)
    workshop.room.sweeper.sweep()  # keeps no states
    assert set(workshop.room.keys()) < set(before)
    with pytest.raises(JobNotResumable, match="no longer kept"):
        resume(workshop, job)


def test_the_oldest_states_are_deleted_beyond_a_number_of_bytes(workshop: Workshop) -> None:
    room = workshop.room
    jobs = [workshop.run(workshop.submit(TRAINING.model_copy(update={"seed": seed}))) for seed in range(3)]
    size = max(job.outcome["state_bytes"] for job in jobs if job.outcome is not None)
    sweeper = keeping(room, 2 * size)
    for job in jobs:  # one after the other, so that their order is known
        assert workshop.room.store.get("default", job.job).checkpoint is not None
    sweeper.sweep()
    sweeper.sweep()

    def kept() -> int:
        return sum(bool(room.client.exists(f"{room.prefix}:{{blob/{job.checkpoint}}}")) for job in jobs)

    assert kept() == 2
    assert not any(room.client.exists(f"{room.prefix}:{{blob/{job.spec['data']['blob']}}}") for job in jobs)
    keeping(room, size - 1).sweep()
    assert kept() == 2, "a smaller limit holds for jobs that end later"
    room.sweeper.sweep()  # of no seconds
    room.sweeper.sweep()
    assert kept() == 0
    assert "kept" not in " ".join(room.keys())


@pytest.mark.parametrize("publish", ["always", "if_better"])
def test_jobs_on_a_dataset_continue_with_its_scales(workshop: Workshop, tmp_path: Path, publish: Publish) -> None:
    """Also one that has published nothing, whose network is that of its plan."""
    add(workshop, tmp_path, "readings", readings(noise=publish == "if_better"))
    add(workshop, tmp_path, "other", readings(missing=False))
    training = TrainingSpec.model_validate({"epochs": 2, "batch_size": 64, "optimiser": "adam"})

    def submit(epochs: int, data: str = "readings", resume_from: str | None = None) -> Job:
        named = DATA.model_copy(update={"dataset": data})
        settings = training.model_copy(update={"epochs": epochs})
        job = workshop.jobs.submit_forecast(
            "default", "temp", named, settings, publish=publish, resume_from=resume_from
        )
        return workshop.run(job.job)

    first = submit(2)
    second = submit(2, resume_from=first.job)
    assert (first.state, second.progress["epochs"]) == ("succeeded" if publish == "always" else "failed", 4)
    third = submit(1, "other", second.job)
    networks = [each.spec["plan"]["network"]["layers"][0] for each in (first, third)]
    assert networks[0] == networks[1]
    if publish == "if_better":
        whole = submit(4)
        blobs = [workshop.room.blobs.get(str(each.checkpoint)) for each in (second, whole)]
        states = [read(unwrap_checkpoint(blob)) for blob in blobs]
        assert np.array_equal(states[0].weights, states[1].weights)
        assert np.array_equal(states[0].optimiser.slots, states[1].optimiser.slots)
