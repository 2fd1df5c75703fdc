"""One attempt of a training job, from the lease to the published version. What a worker's child process runs."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from cellar.errors import BlobUnknown, CellarError, StoreUnavailable, Superseded
from cellar.jobs.checkpoint import Recorder
from cellar.jobs.dataset import unpack_dataset
from cellar.jobs.lease import LeaseKeeper
from cellar.jobs.submission import publish_of, training_spec
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.checkpoint import check_revision
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.progress import EpochRecord, Evaluation, Progress, Weights
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import evaluate, fit
from cellar.ports import BlobStore, Job, JobStore
from cellar.registry import Registry
from cellar.wire.arrays import weights as wire_weights

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

PATIENCE_S = 60.0
"""How long an attempt waits for a store that is away: a Redis that restarts with a large file is back before."""


class Fit(Protocol):
    """How `cellar.nn.training.trainer.fit` is called."""

    def __call__(
        self,
        network: CompiledNetwork,
        weights: Weights,
        data: Dataset,
        spec: TrainingSpec,
        *,
        checkpoint: bytes | None = None,
    ) -> Iterator[Progress]:
        """Train and yield after every update."""
        ...


def run(
    tenant: str,
    job: str,
    *,
    jobs: JobStore,
    blobs: BlobStore,
    prepare: Callable[[], Registry],
    lease_s: float,
    fit: Fit = fit,
) -> None:
    """Carry out a job as far as it goes: to its end, until it is cancelled, or until this process is asked to stop.

    `prepare` makes sure that this process can train and returns the models. It is called under the lease: what it
    raises ends the job with an error, and not every attempt again.

    Nothing happens if another attempt holds the job. SIGTERM makes the attempt store a checkpoint and give the job
    back. Every outcome is in the job's record; StoreUnavailable is raised if not even that can be written.
    """
    lease = jobs.acquire(tenant, job, lease_s)
    if lease is None:
        logger.info("job %s is held or has ended", job)
        return
    logger.info("job %s: attempt %d begins", job, lease.attempt)
    with _stop_asked() as stop, LeaseKeeper(jobs, lease, lease_s) as keeper:
        attempt = JobAttempt(keeper, stop, jobs=jobs, blobs=blobs, prepare=prepare, fit=fit)
        try:
            attempt.run()
        except Superseded as error:
            logger.warning("job %s: %s", job, error)
        except StoreUnavailable as error:
            if stop.is_set():
                raise
            attempt.fail(error.detail, patience_s=0)  # if this can be written, only the blobs are out of reach
        except Exception as error:
            if not isinstance(error, CellarError):
                logger.exception("job %s: attempt %d failed", job, lease.attempt)
            attempt.fail(_explain(error))


class JobAttempt:
    """The steps of an attempt. Each can be done again by the next attempt, with the same result."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        stop: threading.Event,
        *,
        jobs: JobStore,
        blobs: BlobStore,
        prepare: Callable[[], Registry],
        fit: Fit,
    ) -> None:
        self._keeper = keeper
        self._lease = keeper.lease
        self._stop = stop
        self._jobs = jobs
        self._blobs = blobs
        self._prepare = prepare
        self._registry: Registry  # from the beginning of `run` on
        self._fit = fit
        self._trained: str | None = None
        """Digest of the trained weights, as soon as they are stored."""
        self._newest: tuple[Recorder, Progress] | None = None
        """The newest update, and who reports it."""
        self._evaluate: Callable[[Weights], Evaluation]  # from the first update on

    def run(self) -> None:
        """Train and publish, or only publish if an attempt before got that far."""
        self._registry = self._prepare()
        job = self._insist(lambda: self._jobs.get(self._lease.tenant, self._lease.job))
        outcome = job.outcome or self._train(job)
        if outcome is not None:
            self._publish(job, outcome)

    def fail(self, error: str, *, patience_s: float = PATIENCE_S) -> None:
        """End the job with an error that its owner can read, unless another attempt has it."""
        try:
            self._report(patience_s)
            self._insist(lambda: self._jobs.finish(self._lease, "failed", error=error), patience_s)
            self._forget_trained()
        except Superseded as superseded:
            logger.warning("job %s: %s", self._lease.job, superseded)

    def _train(self, job: Job) -> dict[str, Any] | None:
        """Train to the end and fix what will be published; None if the job was cancelled or given back."""
        recorder = Recorder(self._jobs, self._blobs, self._lease, job)
        for progress in self._updates(job, recorder):
            self._newest = recorder, progress
            if self._keeper.superseded.is_set():
                raise Superseded(f"attempt {self._lease.attempt} of job {self._lease.job} lost its lease")
            if self._keeper.cancelled.is_set():
                self._cancel()
                return None
            if progress.finished:
                return self._seal(job, recorder, progress)
            if self._stop.is_set():
                self._give_back(recorder, progress)
                return None
            if recorder.is_due():
                self._insist(partial(recorder.checkpoint, progress))
        raise AssertionError("training ends with an update that says so")

    def _updates(self, job: Job, recorder: Recorder) -> Iterator[Progress]:
        """Return the progress of training, begun or resumed."""
        version = self._insist(lambda: self._registry.get(job.tenant, job.spec["model"]))
        weights = self._insist(lambda: self._registry.weights(version))
        data = self._dataset(job)
        checkpoint = self._insist(lambda: recorder.resume(check_revision))
        network, spec = self._registry.compile(self._registry.network(version)), training_spec(job)
        self._evaluate = lambda result: evaluate(network, weights, result, data, spec)
        return self._fit(network, weights, data, spec, checkpoint=checkpoint)

    def _dataset(self, job: Job) -> Dataset:
        try:
            return unpack_dataset(self._insist(lambda: self._blobs.get(job.spec["data"]["blob"])))
        except BlobUnknown as error:
            raise BlobUnknown("the dataset of the job is gone") from error

    def _seal(self, job: Job, recorder: Recorder, progress: Progress) -> dict[str, Any] | None:
        """Fix what will be published; None if the job was cancelled, or has made the model worse."""
        self._report()
        result = progress.weights()
        evaluation = self._evaluate(result)
        self._insist(lambda: recorder.finish(progress, evaluation))
        self._newest = None  # what was reported last stays
        if evaluation.worse and publish_of(job) == "if_better":
            self.fail(_refusal(job, evaluation))
            return None
        weights = wire_weights.dump(result)
        self._trained = self._insist(lambda: self._blobs.put(weights))
        outcome = {"weights": self._trained, "metrics": _metrics(progress.kept)}
        if self._insist(lambda: self._jobs.seal(self._lease, outcome)):
            return outcome
        self._cancel()
        return None

    def _publish(self, job: Job, outcome: dict[str, Any]) -> None:
        """Publish the version, the same one however often it is done, and end the job."""
        self._trained = outcome["weights"]
        parent = job.spec["model"]
        network = self._registry.network(self._insist(lambda: self._registry.get(job.tenant, parent)))
        weights = self._insist(lambda: self._blobs.get(outcome["weights"]))
        version = self._insist(
            lambda: self._registry.publish(
                job.tenant,
                parent.partition("@")[0],
                network,
                weights,
                token=f"job/{job.job}",
                parent=parent,
                metrics=outcome["metrics"],
            )
        )
        self._insist(lambda: self._jobs.finish(self._lease, "succeeded", result=version.ref))
        logger.info("job %s: published %s", job.job, version.ref)

    def _report(self, patience_s: float = PATIENCE_S) -> None:
        """Report all epochs up to the newest update, which no checkpoint may have told of yet."""
        if self._newest is not None:
            recorder, progress = self._newest
            self._insist(lambda: recorder.finish(progress), patience_s)

    def _cancel(self) -> None:
        self._report()
        self._insist(lambda: self._jobs.finish(self._lease, "cancelled"))
        self._forget_trained()
        logger.info("job %s: cancelled", self._lease.job)

    def _forget_trained(self) -> None:
        """Delete the weights of a job that has ended without publishing them."""
        if self._trained is not None:
            self._registry.forget_weights(self._trained)

    def _give_back(self, recorder: Recorder, progress: Progress) -> None:
        recorder.checkpoint(progress)
        self._jobs.release(self._lease)
        logger.info("job %s: given back", self._lease.job)

    def _insist(self, action: Callable[[], Answer], patience_s: float = PATIENCE_S) -> Answer:
        """Do what can be done twice, again and again while the store is away. Raise StoreUnavailable in the end."""
        give_up = time.monotonic() + patience_s
        while True:
            try:
                return action()
            except StoreUnavailable:
                if time.monotonic() >= give_up or self._stop.wait(1.0):
                    raise


@contextmanager
def _stop_asked() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets, where this thread may listen for signals (the main thread)."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _metrics(kept: EpochRecord | None) -> dict[str, float]:
    """Return the losses of the epoch whose weights are the result, and which one that was."""
    assert kept is not None
    found = {"epoch": kept.epoch, "loss": kept.loss, "validation_loss": kept.validation_loss}
    return {name: value for name, value in found.items() if value is not None}


def _refusal(job: Job, evaluation: Evaluation) -> str:
    """Return why the result of a job is not published, and what its owner can do."""
    loss, before = ("not finite" if loss is None else f"{loss:.3g}" for loss in (evaluation.loss, evaluation.before))
    return (
        f"not published, because the training has made the model worse: its {evaluation.data} loss is {loss}, that of"
        f' {job.spec["model"]} is {before}. Lower the learning rate, or send "publish": "always" to publish the'
        " result all the same"
    )


def _explain(error: Exception) -> str:
    """Return what the owner of the job reads: a reason, never a traceback."""
    if isinstance(error, CellarError):
        return error.detail
    if isinstance(error, MemoryError):
        return "not enough memory for this training"
    return f"internal error ({type(error).__name__}); the worker's log says more"
