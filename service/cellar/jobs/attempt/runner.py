"""Runs one attempt of a training job in a child process: acquires the lease, trains, and publishes the new version."""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeVar

from cellar.errors import CellarError, StoreUnavailable, Superseded
from cellar.jobs.attempt.checkpoint import Recorder
from cellar.jobs.attempt.helpers import Helpers
from cellar.jobs.attempt.lease import LeaseKeeper
from cellar.jobs.attempt.work import Tables, Work, work_of
from cellar.jobs.job_blobs import STATE_BYTES
from cellar.jobs.options import JobOptions, publish_of
from cellar.jobs.submission.submission import PROMOTED, SWEEP
from cellar.jobs.verdict import refusal_of
from cellar.models.registry import Registry
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.checkpoints.checkpoint import check_revision
from cellar.nn.training.checkpoints.progress import EpochRecord, Progress
from cellar.nn.training.shards.team import Alone, Team
from cellar.nn.training.trainer import fit
from cellar.ports import BlobStore, Job, JobStore
from cellar.wire.arrays import weights as wire_weights

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

PATIENCE_S = 60.0
"""How long an attempt waits for an unavailable store: a Redis that restarts with a large file needs less."""


STALL_S = 1800.0
"""Time without an update of the weights after which a job has failed, if no setting says otherwise."""

Fit = Callable[..., Iterator[Progress]]
"""A function like `cellar.nn.training.trainer.fit`."""


def run(
    tenant: str,
    job: str,
    *,
    jobs: JobStore,
    blobs: BlobStore,
    prepare: Callable[[], Registry],
    lease_s: float,
    stall_s: float = STALL_S,
    tables: Tables | None = None,
    fit: Fit = fit,
    processes: int = 1,
    stop: threading.Event | None = None,
    kind: "type[JobAttempt] | None" = None,
) -> None:
    """Run a job to its end, until it is cancelled, or until this process is asked to stop.

    `prepare` checks that this process can train and returns the models. It is called while the attempt has the lease,
    so an exception of it ends the job with an error; otherwise every further attempt would fail in the same way.
    Nothing happens if another attempt has the job. On SIGTERM, or when `stop` is set, the attempt stores a checkpoint
    and gives the job back. Outcomes are written to the job's record. Raise StoreUnavailable if that is not possible.
    """
    lease = jobs.acquire(tenant, job, lease_s)
    if lease is None:
        logger.info("job %s has another attempt or has ended", job)
        return
    logger.info("job %s: attempt %d begins", job, lease.attempt)
    with _stop_asked(stop) as stop, LeaseKeeper(jobs, lease, lease_s) as keeper:
        attempt = (kind or JobAttempt)(
            keeper, stop, jobs=jobs, blobs=blobs, prepare=prepare, tables=tables, fit=fit, stall_s=stall_s
        )
        attempt.processes = processes
        keeper.watch = attempt.end_if_stalled
        try:
            attempt.run()
        except Superseded as error:
            logger.warning("job %s: %s", job, error)
        except StoreUnavailable as error:
            if stop.is_set():
                raise
            attempt.fail(error.detail, patience_s=0)  # if this can be written, only the store of blobs is unavailable
        except Exception as error:
            if not isinstance(error, CellarError):
                logger.exception("job %s: attempt %d failed", job, lease.attempt)
            attempt.fail(attempt.explain(error))


class JobAttempt:
    """The steps of an attempt. The next attempt can repeat each of them with the same result."""

    def __init__(
        self,
        keeper: LeaseKeeper,
        stop: threading.Event,
        *,
        jobs: JobStore,
        blobs: BlobStore,
        prepare: Callable[[], Registry],
        tables: Tables | None,
        fit: Fit,
        stall_s: float,
    ) -> None:
        self._keeper = keeper
        self._lease = keeper.lease
        self._stop = stop
        self._jobs = jobs
        self._blobs = blobs
        self._prepare = prepare
        self._tables = tables
        self._registry: Registry  # set at the beginning of `run`
        self._fit = fit
        self._stall_s = stall_s
        self.processes = 1
        """The most processes of a job."""
        self._moved_s: float | None = time.monotonic()
        """When the weights were updated last; None while nothing is trained."""
        self._weights: bytes | None = None
        """The weights that are sealed: an equal job that is cancelled may delete those in the store."""
        self._trained: str | None = None
        """Digest of the trained weights, once they are stored."""
        self._newest: tuple[Recorder, Progress] | None = None
        """The newest update with the recorder that reports it."""
        self._work: Work  # set before the first update

    def run(self) -> None:
        """Train and publish; only publish if an earlier attempt has sealed the outcome."""
        self._registry = self._prepare()
        job = self._retry(lambda: self._jobs.get(self._lease.tenant, self._lease.job))
        outcome = job.outcome or self._train(job)
        if outcome is not None:
            self._publish(job, outcome)

    def fail(self, error: str, *, patience_s: float = PATIENCE_S) -> None:
        """End the job with an error for its owner, unless another attempt has it."""
        logger.warning("job %s of tenant %s has failed: %s", self._lease.job, self._lease.tenant, error)
        try:
            self._report(patience_s)
            self._retry(lambda: self._jobs.finish(self._lease, "failed", error=error), patience_s)
            self._forget_trained()
        except Superseded as superseded:
            logger.warning("job %s: %s", self._lease.job, superseded)

    def explain(self, error: Exception) -> str:
        """Return the error text for the owner of the job: a reason and a place, never a traceback."""
        if isinstance(error, CellarError):
            return error.detail
        place = "" if self._newest is None else f" after {_place(self._newest[1])}"
        if isinstance(error, MemoryError):
            return f"not enough memory for this training{place}"
        return f"internal error ({type(error).__name__}){place}; the worker's log says more"

    def _train(self, job: Job) -> dict[str, Any] | None:
        """Train to the end and seal what will be published; None if the job was cancelled or given back."""
        recorder = Recorder(self._jobs, self._blobs, self._lease, job)
        most_s = JobOptions.of(job).max_seconds
        with self._team(job) as team:
            return self._train_with(team, job, recorder, most_s)

    def _team(self, job: Job) -> AbstractContextManager[Team | None]:
        """Return the processes that share the batches of a job, None for a job without shards."""
        asked = JobOptions.of(job).processes
        if asked is None:
            return nullcontext()
        processes = min(asked, self.processes)
        return nullcontext(Alone()) if processes == 1 else Helpers(job.tenant, job.job, processes)

    def _train_with(
        self, team: Team | None, job: Job, recorder: Recorder, most_s: float | None
    ) -> dict[str, Any] | None:
        """Do the same as `_train`, in a team."""
        for progress in self._updates(job, recorder, team):
            self._newest, self._moved_s = (recorder, progress), time.monotonic()
            recorder.note(progress)
            if self._keeper.superseded.is_set():
                raise Superseded(f"attempt {self._lease.attempt} of job {self._lease.job} lost its lease")
            if self._keeper.cancelled.is_set():
                self._cancel()
                return None
            if progress.finished:
                return self._seal(job, recorder, progress)
            if most_s is not None and recorder.speed.elapsed_s >= most_s:
                return self._end_early(job, recorder, progress)
            if self._stop.is_set():
                self._give_back(recorder, progress)
                return None
            if recorder.is_due():
                self._retry(partial(recorder.checkpoint, progress))
        raise AssertionError("the last update of a training is marked as finished")

    def _end_early(self, job: Job, recorder: Recorder, progress: Progress) -> dict[str, Any] | None:
        """Seal the result so far of a job whose time is over; without a finished epoch it has none, and fails."""
        if progress.kept is None:
            self.fail(f"its max_seconds were over before the first epoch had ended: {_place(progress)}")
            return None
        recorder.ended_by = "max_seconds"
        return self._seal(job, recorder, progress)

    def end_if_stalled(self) -> None:
        """End the job if nothing was trained for a long time; another thread calls this. Raise as the store.

        The worker kills a process whose job has ended, so that a kernel without end is ended too.
        """
        moved_s = self._moved_s
        if moved_s is None or time.monotonic() - moved_s < self._stall_s:
            return
        place = "before the first update" if self._newest is None else f"after {_place(self._newest[1])}"
        error = f"there was no progress for {self._stall_s:g} s (CELLAR_JOB_STALL_S), {place}"
        logger.warning("job %s of tenant %s has failed: %s", self._lease.job, self._lease.tenant, error)
        self._jobs.finish(self._lease, "failed", error=error)

    def _updates(self, job: Job, recorder: Recorder, team: Team | None) -> Iterator[Progress]:
        """Return the progress of training, begun or resumed."""
        work = self._work = self._retry(lambda: work_of(job, self._registry, self._blobs, self._tables))
        recorder.speed.steps_per_epoch = work.data.inputs.shape[0] * work.data.inputs.shape[1]
        checkpoint = self._retry(lambda: recorder.resume(check_revision))
        bound = work.bound if team is None else work.bound | {"team": team}
        return self._fit(work.network, work.weights, work.data, work.spec, checkpoint=checkpoint, **bound)

    def _seal(self, job: Job, recorder: Recorder, progress: Progress) -> dict[str, Any] | None:
        """Seal what will be published; None if the job was cancelled, or has made the model worse."""
        self._report()
        self._moved_s = None
        result = progress.weights()
        evaluation = self._work.evaluate(result)
        self._retry(lambda: recorder.checkpoint(progress, evaluation))
        self._newest = None  # nothing is left to report
        may_refuse = publish_of(job) == "if_better" and SWEEP not in job.spec
        if may_refuse and (refusal := refusal_of(job, evaluation)) is not None:
            self.fail(refusal)
            return None
        network, published = self._work.published(result)
        self._weights = weights = wire_weights.dump(published)
        self._trained = self._retry(lambda: self._blobs.put(_mark_of(job) + weights))
        outcome: dict[str, Any] = {"weights": self._trained, "metrics": _metrics(progress.kept)}
        outcome[STATE_BYTES] = recorder.state_bytes
        if network is not None:
            outcome["network"] = network
        if self._retry(lambda: self._jobs.seal(self._lease, outcome)):
            return outcome
        self._cancel()
        return None

    def _publish(self, job: Job, outcome: dict[str, Any]) -> None:
        """Publish the version and end the job. A repeated call publishes no second version.

        The result of a trial is kept until its sweep knows which is the best.
        """
        if SWEEP in job.spec and PROMOTED not in outcome:
            self._retry(lambda: self._jobs.finish(self._lease, "succeeded"))
            return
        self._trained = outcome["weights"]
        model = job.spec["model"]
        parent = model if "@" in model else None
        network = self._network(job, outcome)
        weights = self._weights
        if weights is None:
            weights = self._retry(lambda: self._blobs.get(outcome["weights"])).removeprefix(_mark_of(job))
        version = self._retry(
            lambda: self._registry.publish(
                job.tenant,
                model.partition("@")[0],
                network,
                weights,
                token=f"job/{job.job}",
                parent=parent,
                metrics=outcome["metrics"],
            )
        )
        self._retry(lambda: self._jobs.finish(self._lease, "succeeded", result=version.ref))
        logger.info("job %s: published %s", job.job, version.ref)

    def _network(self, job: Job, outcome: dict[str, Any]) -> Network:
        """Return the network that is published: that of the version, or one that the run has made."""
        if "network" in outcome:
            return Network(NetworkSpec.model_validate_json(json.dumps(outcome["network"])))
        return self._registry.network(self._retry(lambda: self._registry.get(job.tenant, job.spec["model"])))

    def _report(self, patience_s: float = PATIENCE_S) -> None:
        """Report all epochs up to the newest update; the last checkpoint may be older."""
        if self._newest is not None:
            recorder, progress = self._newest
            self._retry(lambda: recorder.finish(progress), patience_s)

    def _cancel(self) -> None:
        self._report()
        self._retry(lambda: self._jobs.finish(self._lease, "cancelled"))
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

    def _retry(self, action: Callable[[], Result], patience_s: float = PATIENCE_S) -> Result:
        """Repeat an idempotent action while the store is unavailable. Raise StoreUnavailable when the time is over."""
        give_up = time.monotonic() + patience_s
        while True:
            try:
                return action()
            except StoreUnavailable:
                if time.monotonic() >= give_up or self._stop.wait(1.0):
                    raise


@contextmanager
def _stop_asked(given: threading.Event | None) -> Iterator[threading.Event]:
    """Yield the given event, or one that SIGTERM sets; on another thread than the main one no signal sets it."""
    stop = given or threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _place(progress: Progress) -> str:
    """Return the place of the newest update."""
    return f"epoch {progress.epoch} of {progress.epochs}, batch {progress.update} of {progress.updates}"


def _mark_of(job: Job) -> bytes:
    """Return the prefix of the stored weights of a trial: equal weights of another sweep are another blob.

    So a sweep that has ended deletes its own alone.
    """
    return job.job.encode() if SWEEP in job.spec else b""


def _metrics(kept: EpochRecord | None) -> dict[str, float]:
    """Return number and losses of the epoch whose weights are the result."""
    assert kept is not None
    found = {"epoch": kept.epoch, "loss": kept.loss, "validation_loss": kept.validation_loss}
    return {name: value for name, value in found.items() if value is not None}
