"""Attempts in this process with real training: to the end, interrupted anywhere, cancelled, failing."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from cellar.engine import TRAINING_REV
from cellar.errors import StartupError
from cellar.jobs.attempt.runner import Fit
from cellar.jobs.warnings import evaluation_of, warnings_of
from cellar.models.registry import Registry
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoints.progress import Progress, Weights
from cellar.nn.training.checkpoints.resumption import Begin
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.ports import Lease, ModelVersion
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.catalogue.models import RedisModels
from tests.jobs.conftest import TRAINING, Clock, Workshop, walks


class KilledError(BaseException):
    """What a test does to an attempt in the middle: nothing of it can be caught or cleaned up."""


def kill() -> None:
    """Kill the attempt."""
    raise KilledError


class DyingStore(RedisJobs):
    """A store after whose seal the attempt dies."""

    def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
        """Fix what will be published, and die."""
        assert super().seal(lease, outcome)
        raise KilledError


class DyingModels(RedisModels):
    """A store after whose publication the attempt dies."""

    def add(self, version: ModelVersion, *, token: str) -> ModelVersion:
        """Publish, and die."""
        super().add(version, token=token)
        raise KilledError


def interrupted(updates: int, by: Callable[[], None], seen: list[bytes | None] | None = None) -> Fit:
    """Return real training that something happens to when so many updates are done.

    `seen` is told the checkpoint that it begins with.
    """

    def fit_until(
        network: CompiledNetwork,
        weights: Weights,
        data: Dataset,
        spec: TrainingSpec,
        *,
        checkpoint: bytes | None = None,
        begin: Begin | None = None,
    ) -> Iterator[Progress]:
        if seen is not None:
            seen.append(checkpoint)
        for count, progress in enumerate(fit(network, weights, data, spec, checkpoint=checkpoint, begin=begin)):
            if count == updates:
                by()
            yield progress

    return fit_until


def broken(error: Exception) -> Fit:
    """Return a training that fails."""

    def fit_badly(
        network: CompiledNetwork,
        weights: Weights,
        data: Dataset,
        spec: TrainingSpec,
        *,
        checkpoint: bytes | None = None,
    ) -> Iterator[Progress]:
        raise error

    return fit_badly


def test_trains_and_publishes_the_next_version(workshop: Workshop) -> None:
    job = workshop.submit()
    ended = workshop.run(job)
    assert (ended.state, ended.result, ended.error, ended.attempt) == ("succeeded", "walk@2", None, 1)
    version = workshop.registry.get("default", "walk")
    history = workshop.jobs.history("default", job.job)
    assert (version.ref, version.parent) == ("walk@2", "walk@1")
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5]
    assert history[-1]["loss"] < history[0]["loss"]
    assert version.metrics == {"epoch": 5, "loss": history[-1]["loss"]}
    assert ended.progress["epoch"] == ended.progress["epochs"] == 5


def undisturbed(workshop: Workshop) -> ModelVersion:
    """Return what the training of walk@1 makes if nothing disturbs it."""
    job = workshop.jobs.submit("default", "walk@1", walks(), TRAINING).job
    return workshop.registry.get("default", str(workshop.run(job).result))


def test_the_same_job_twice_ends_with_the_same_weights(workshop: Workshop) -> None:
    first, second = undisturbed(workshop), undisturbed(workshop)
    assert (first.ref, second.ref) == ("walk@2", "walk@3")
    assert first.digest == second.digest != workshop.registry.get("default", "walk@1").digest


@pytest.mark.parametrize("updates", [0, 1, 5, 9])
def test_a_killed_attempt_is_taken_up_to_the_same_bits(
    workshop: Workshop, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.jobs.attempt.checkpoint.CADENCE_S", 0)
    monkeypatch.setattr("cellar.jobs.attempt.checkpoint.SHARE", 0)
    job, began = workshop.submit(), list[bytes | None]()
    with pytest.raises(KilledError):
        workshop.run(job, interrupted(updates, kill, began))
    workshop.lapse(job)
    ended = workshop.run(job, interrupted(-1, kill, began))
    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert [checkpoint is not None for checkpoint in began] == [False, updates > 0]
    assert [record["epoch"] for record in workshop.jobs.history("default", job.job)] == [1, 2, 3, 4, 5]
    assert workshop.registry.get("default", str(ended.result)).digest == undisturbed(workshop).digest


def test_an_attempt_begins_again_where_the_checkpoint_is_of_another_training_revision(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellar.jobs.attempt.checkpoint.CADENCE_S", 0)
    monkeypatch.setattr("cellar.jobs.attempt.checkpoint.SHARE", 0)
    job, began = workshop.submit(), list[bytes | None]()
    with pytest.raises(KilledError):
        workshop.run(job, interrupted(7, kill))
    workshop.lapse(job)
    monkeypatch.setattr("cellar.nn.training.checkpoints.checkpoint.TRAINING_REV", TRAINING_REV + 1)
    ended = workshop.run(job, interrupted(-1, kill, began))
    assert began == [None]
    assert (ended.state, ended.error, ended.attempt) == ("succeeded", None, 2)
    assert [record["epoch"] for record in workshop.jobs.history("default", job.job)] == [1, 2, 3, 4, 5]
    assert workshop.registry.get("default", str(ended.result)).digest == undisturbed(workshop).digest


def test_an_attempt_that_died_after_sealing_is_published_by_the_next(workshop: Workshop) -> None:
    job, room = workshop.submit(), workshop.room
    with pytest.raises(KilledError):
        workshop.run(job, store=DyingStore(room.client, room.prefix))
    workshop.lapse(job)
    assert workshop.jobs.cancel("default", job.job).outcome is not None
    ended = workshop.run(job, broken(AssertionError("it is trained already")))
    assert (ended.state, ended.result) == ("succeeded", "walk@2")


def test_an_attempt_that_died_after_publishing_makes_no_second_version(workshop: Workshop) -> None:
    job, room = workshop.submit(), workshop.room
    dying = Registry(DyingModels(room.client, room.prefix), room.blobs, workshop.kernels, Clock())
    with pytest.raises(KilledError):
        workshop.run(job, prepare=lambda: dying)
    workshop.lapse(job)
    assert workshop.run(job).result == "walk@2"
    assert [version.ref for version in workshop.registry.versions("default", "walk")] == ["walk@1", "walk@2"]


def test_a_superseded_attempt_publishes_nothing(workshop: Workshop) -> None:
    job = workshop.submit()

    def supersede() -> None:
        workshop.lapse(job)
        workshop.room.store.acquire("default", job.job, 60)

    ended = workshop.run(job, interrupted(3, supersede))
    assert (ended.state, ended.attempt, ended.result) == ("running", 2, None)
    assert [version.ref for version in workshop.registry.versions("default", "walk")] == ["walk@1"]


def test_a_cancelled_job_stops(workshop: Workshop) -> None:
    job = workshop.submit(TrainingSpec(epochs=1_000_000, batch_size=4))

    def cancel() -> None:
        workshop.jobs.cancel("default", job.job)

    ended = workshop.run(job, interrupted(3, cancel))
    assert (ended.state, ended.result, ended.error) == ("cancelled", None, None)
    assert workshop.registry.get("default", "walk").ref == "walk@1"


def test_a_training_that_diverges_says_where_and_tells_of_every_epoch(workshop: Workshop) -> None:
    training = TrainingSpec.model_validate({"epochs": 400, "optimiser": {"type": "sgd", "learning_rate": 2}})
    job = workshop.submit(training)
    ended = workshop.run(job)
    assert (ended.state, ended.result) == ("failed", None)
    assert ended.error is not None
    assert re.search(r"parameter [01]\.\w+", ended.error)
    found = re.search(r"in epoch (\d+), batch 1 of 1", ended.error)
    assert found is not None, ended.error
    finished = int(found[1]) - 1
    assert finished > 1
    history = workshop.jobs.history("default", job.job)
    assert [record["epoch"] for record in history] == list(range(1, finished + 1))
    assert ended.progress["epoch"] == finished


CLIMBING = TrainingSpec.model_validate({"epochs": 3, "optimiser": {"type": "sgd", "learning_rate": 2}})
"""Training that ends with a loss of many times what it began with, and finite."""


def test_a_result_that_is_worse_than_its_beginning_is_not_published(workshop: Workshop) -> None:
    job = workshop.submit(CLIMBING)
    ended = workshop.run(job)
    assert (ended.state, ended.result) == ("failed", None)
    assert ended.error is not None
    assert "that of walk@1 is" in ended.error
    assert '"publish": "always"' in ended.error
    assert workshop.registry.get("default", "walk").ref == "walk@1"
    assert len(workshop.jobs.history("default", job.job)) == 3
    evaluation = evaluation_of(ended)
    assert evaluation is not None
    assert evaluation.worse
    workshop.room.sweeper.sweep()
    assert "{blob/" in "".join(workshop.room.keys())  # the weights of walk@1
    assert not workshop.room.client.smembers(f"{workshop.room.prefix}:{{jobs}}:ended")


def test_a_result_that_is_worse_is_published_where_that_was_asked_for(workshop: Workshop) -> None:
    ended = workshop.run(workshop.submit(CLIMBING, "always"))
    assert (ended.state, ended.result) == ("succeeded", "walk@2")
    assert any("higher than that of the version" in warning for warning in warnings_of(ended))


@pytest.mark.parametrize("fields", [{"epochs": 1}, {"epochs": 3, "validation": 0.25}, {"state": "carry", "window": 5}])
def test_a_training_that_changes_next_to_nothing_is_published(workshop: Workshop, fields: dict[str, Any]) -> None:
    still = TrainingSpec.model_validate({"optimiser": {"type": "sgd", "learning_rate": 1e-30}, **fields})
    assert workshop.run(workshop.submit(still)).result == "walk@2"


def test_a_job_from_before_one_could_ask_is_published_always(workshop: Workshop) -> None:
    job = workshop.submit(CLIMBING)
    spec = {name: value for name, value in job.spec.items() if name not in ("publish", "updates_total")}
    old = replace(job, job="old", spec=spec)
    workshop.room.store.create(old)
    ended = workshop.run(old)
    assert (ended.state, ended.result) == ("succeeded", "walk@2")


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_job_that_ends_early_tells_of_every_epoch_that_it_finished(
    workshop: Workshop, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # only the first update is reported as it is made
    monkeypatch.setattr("cellar.jobs.attempt.checkpoint.CADENCE_S", 3600)
    job, seen = workshop.submit(TrainingSpec(epochs=1_000_000, batch_size=4)), list[Progress]()

    def stop() -> None:
        if end == "failed":
            raise ZeroDivisionError
        workshop.jobs.cancel("default", job.job)

    def noted(
        network: CompiledNetwork,
        weights: Weights,
        data: Dataset,
        spec: TrainingSpec,
        *,
        checkpoint: bytes | None = None,
    ) -> Iterator[Progress]:
        for progress in interrupted(7, stop)(network, weights, data, spec, checkpoint=checkpoint):
            seen.append(progress)
            yield progress

    ended = workshop.run(job, noted)
    assert ended.state == end
    assert (ended.progress["epoch"], ended.progress["update"]) == (seen[-1].epoch, seen[-1].update)
    history = workshop.jobs.history("default", job.job)
    assert len(history) >= 3
    assert [record["epoch"] for record in history] == [record.epoch for record in seen[-1].history]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "not enough memory for this training"),
        (ZeroDivisionError("secret"), "internal error (ZeroDivisionError); the worker's log says more"),
    ],
)
def test_the_owner_reads_a_reason_and_no_traceback(workshop: Workshop, error: Exception, reason: str) -> None:
    ended = workshop.run(workshop.submit(), broken(error))
    assert (ended.state, ended.error) == ("failed", reason)


def test_an_error_in_the_middle_has_its_place(workshop: Workshop) -> None:
    def fail() -> None:
        raise MemoryError

    ended = workshop.run(workshop.submit(), interrupted(5, fail))
    assert ended.error == "not enough memory for this training after epoch 3 of 5, batch 1 of 2"


def test_a_process_that_cannot_compute_fails_the_job_under_its_lease(workshop: Workshop) -> None:
    def refuse() -> Registry:
        raise StartupError("this machine computes other bits")

    ended = workshop.run(workshop.submit(), prepare=refuse)
    assert (ended.state, ended.attempt, ended.error) == ("failed", 1, "this machine computes other bits")


def test_a_job_that_ends_unpublished_leaves_no_weights(workshop: Workshop) -> None:
    """Cancelled after its last update, and sealed but with its model deleted."""
    cancelled, orphaned = workshop.submit(), workshop.submit(TRAINING.model_copy(update={"seed": 4}))
    room = workshop.room

    class Cancelling(RedisJobs):
        def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
            self.cancel(lease.tenant, lease.job)
            return super().seal(lease, outcome)

    class Deleting(RedisJobs):
        def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
            workshop.registry.delete("default", "walk")
            return super().seal(lease, outcome)

    assert workshop.run(cancelled, store=Cancelling(room.client, room.prefix)).state == "cancelled"
    assert workshop.run(orphaned, store=Deleting(room.client, room.prefix)).error == "no model 'walk' in version 1"
    room.sweeper.sweep()
    assert "{blob/" not in "".join(room.keys())


def test_weights_that_the_end_of_an_equal_job_deletes_are_published(workshop: Workshop) -> None:
    class Forgetting(RedisJobs):
        def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
            is_sealed = super().seal(lease, outcome)
            workshop.registry.forget_weights(outcome["weights"])  # as an equal job that is cancelled does
            return is_sealed

    ended = workshop.run(workshop.submit(), store=Forgetting(workshop.room.client, workshop.room.prefix))
    assert (ended.state, ended.result) == ("succeeded", "walk@2")
    assert workshop.registry.weights(workshop.registry.get("default", "walk@2"))


def test_a_model_that_was_deleted_meanwhile_fails_the_job(workshop: Workshop) -> None:
    job = workshop.submit()
    workshop.registry.delete("default", "walk")
    ended = workshop.run(job)
    assert (ended.state, ended.error) == ("failed", "no model 'walk' in version 1")


def test_a_dataset_that_is_gone_or_damaged_fails_the_job(workshop: Workshop) -> None:
    gone, damaged = workshop.submit(), workshop.submit()
    workshop.room.blobs.delete(gone.spec["data"]["blob"])
    assert workshop.run(gone).error == "the dataset of the job is gone"
    digest = damaged.spec["data"]["blob"]
    workshop.room.client.setrange(f"{workshop.room.prefix}:{{blob/{digest}}}:0", 0, "x")
    failed = workshop.run(damaged)
    assert (failed.state, failed.attempt, failed.error) == ("failed", 1, f"blob {digest} is damaged")


def test_a_job_that_is_held_or_has_ended_is_left_alone(workshop: Workshop) -> None:
    job = workshop.submit()
    lease = workshop.room.store.acquire("default", job.job, 60)
    assert lease is not None
    assert workshop.run(job).state == "running"
    workshop.room.store.finish(lease, "failed", error="no")
    assert workshop.run(job).error == "no"


def test_the_best_epoch_is_measured_when_training_stops_early(workshop: Workshop) -> None:
    training = TrainingSpec.model_validate(
        {
            "epochs": 60,
            "batch_size": 4,
            "validation": 0.25,
            "early_stopping": {"patience": 3},
            "optimiser": {"type": "adam", "learning_rate": 0.05},
        }
    )
    job = workshop.submit(training)
    ended = workshop.run(job)
    history = workshop.jobs.history("default", job.job)
    best = min(history, key=lambda record: float(record["validation_loss"]))
    version = workshop.registry.get("default", str(ended.result))
    assert version.metrics == {name: best[name] for name in ("epoch", "loss", "validation_loss")}
