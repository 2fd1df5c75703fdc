"""Jobs whose time is over, and jobs that make no progress, are ended."""

import threading
from collections.abc import Iterator

import pytest

from cellar.jobs.attempt import runner
from cellar.jobs.attempt.speed import Speedometer
from cellar.jobs.options import JobOptions
from cellar.jobs.warnings import warnings_of
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoints.progress import Progress, Weights
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.ports import Job
from tests.jobs.attempt.test_runner import interrupted
from tests.jobs.conftest import LEASE_S, TRAINING, Workshop, walks


def submit(workshop: Workshop, max_seconds: float) -> Job:
    return workshop.jobs.submit("default", "walk", walks(), TRAINING, options=JobOptions(max_seconds=max_seconds)).job


def test_a_job_whose_time_is_over_ends_with_the_result_so_far(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(Speedometer, "elapsed_s", property(lambda _: 60.0 if over.is_set() else 0.0))
    ended = workshop.run(submit(workshop, 50), interrupted(6, over.set))
    assert (ended.state, ended.result, ended.progress["ended_by"]) == ("succeeded", "walk@2", "max_seconds")
    assert [record["epoch"] for record in workshop.jobs.history("default", ended.job)] == [1, 2, 3]
    assert any("max_seconds in epoch 4 of 5" in text for text in warnings_of(ended))


def test_a_job_without_an_epoch_in_its_time_fails(workshop: Workshop) -> None:
    ended = workshop.run(submit(workshop, 1e-9))
    assert ended.state == "failed"
    assert str(ended.error).endswith("before the first epoch had ended: epoch 1 of 5, batch 1 of 2")


def test_a_job_without_progress_is_ended(workshop: Workshop) -> None:
    """Its process does nothing any more, and a thread of it finds that."""
    job, ended = workshop.submit(), threading.Event()

    def stuck(
        network: CompiledNetwork,
        weights: Weights,
        data: Dataset,
        spec: TrainingSpec,
        *,
        checkpoint: bytes | None = None,
    ) -> Iterator[Progress]:
        yield next(fit(network, weights, data, spec, checkpoint=checkpoint))
        while workshop.jobs.get("default", job.job).state == "running":
            ended.wait(0.01)

    run_with_stall(workshop, job, stuck)
    found = workshop.jobs.get("default", job.job)
    assert found.state == "failed"
    assert "no progress for 0.2 s (CELLAR_JOB_STALL_S), after epoch 1 of 5, batch 1 of 2" in str(found.error)


def run_with_stall(workshop: Workshop, job: Job, train: runner.Fit) -> None:
    room = workshop.room
    runner.run(
        job.tenant,
        job.job,
        jobs=room.store,
        blobs=room.blobs,
        prepare=lambda: workshop.registry,
        lease_s=LEASE_S,
        stall_s=0.2,
        fit=train,
    )
