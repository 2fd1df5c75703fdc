"""Reports progress of a training run, and stores its checkpoints as blobs."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from cellar.errors import BlobUnknown, KernelRevisionMismatch, StoreCorrupt
from cellar.jobs.attempt.speed import Speedometer
from cellar.jobs.job_blobs import unwrap_checkpoint, wrap_checkpoint
from cellar.nn.training.checkpoints.progress import EpochRecord, Evaluation, Progress
from cellar.ports import BlobStore, Job, JobStore, Lease

logger = logging.getLogger(__name__)

CADENCE_S = 1.0
"""Least time between two checkpoints: a killed worker loses that much work, and small jobs write no more often."""

SHARE = 10
"""The pause after a checkpoint is this many times as long as the checkpoint took, so training has most of the time."""

MOST_UNTOLD = 10_000
"""Most finished epochs that are kept until the next checkpoint, which is due then."""

EVALUATION = "evaluation"
"""The member of a job's progress with the evaluation of its result."""

ENDED_BY = "ended_by"
"""The member of a job's progress with the limit that has ended its training: `max_seconds`."""


class Recorder:
    """Stores progress, finished epochs and checkpoints of an attempt."""

    def __init__(
        self, jobs: JobStore, blobs: BlobStore, lease: Lease, job: Job, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._lease = lease
        self._newest = job.checkpoint
        self._reported = job.progress
        self._clock = clock
        self._due = clock()
        self.speed = Speedometer(clock, job.progress.get("elapsed_s", 0.0))
        self.ended_by: str | None = None
        """The limit that has ended the run before its last epoch."""
        self.state_bytes = 0
        """Bytes of the newest checkpoint."""
        self._told = 0
        """Number of the newest epoch in the job's history."""
        self._untold: list[EpochRecord] = []
        """The epochs that have finished since; a run keeps the newest thousand alone."""

    def resume(self, check: Callable[[bytes], None] | None = None) -> bytes | None:
        """Return the state of the newest checkpoint, None to begin from the start. The result is the same either way.

        `check` raises StoreCorrupt or KernelRevisionMismatch for a state that cannot be resumed. Raise
        StoreUnavailable.
        """
        if self._newest is None:
            return None
        try:
            state = unwrap_checkpoint(self._blobs.get(self._newest))
            if check is not None:
                check(state)
        except (BlobUnknown, KernelRevisionMismatch, StoreCorrupt) as error:
            logger.warning("job %s begins again: %s", self._lease.job, error.detail)
            return None
        self._told = _epochs_done(self._reported)
        return state

    def is_due(self) -> bool:
        """Return whether it is time for a checkpoint."""
        return self._clock() >= self._due or len(self._untold) >= MOST_UNTOLD

    def note(self, progress: Progress) -> None:
        """Take the epoch that has ended with an update, if one has."""
        if progress.update == progress.updates and progress.history:
            record = progress.history[-1]
            if record.epoch > self._newest_noted():
                self._untold.append(record)

    def checkpoint(self, progress: Progress, evaluation: Evaluation | None = None) -> None:
        """Store a checkpoint from which the next attempt, or another job, can resume.

        At the end of the run there is an evaluation of its result. Raise Superseded or StoreUnavailable.

        Its digest is recorded before the blob is written, and the checkpoint before is deleted after the new one is
        reported: a crash at any point leaves a readable checkpoint and no blob without a record.
        """
        begun = self._clock()
        blob = wrap_checkpoint(self._lease, progress.checkpoint())
        digest = hashlib.sha256(blob).hexdigest()
        self._forget(self._jobs.claim(self._lease, digest))
        self._blobs.put(blob)
        self._tell(progress, digest, evaluation)
        self.state_bytes = len(blob)
        before, self._newest = self._newest, digest
        self._forget(before if before != digest else None)
        self._due = self._clock() + max(CADENCE_S, SHARE * (self._clock() - begun))

    def finish(self, progress: Progress) -> None:
        """Report the last update, without a checkpoint. Raise Superseded or StoreUnavailable."""
        self._tell(progress, None)

    def _tell(self, progress: Progress, checkpoint: str | None, evaluation: Evaluation | None = None) -> None:
        noted = self._newest_noted()
        self._untold += [record for record in progress.history if record.epoch > noted]
        new = [asdict(record) for record in self._untold]
        self._reported = _progress(progress) | self.speed.members(progress)
        if self.ended_by is not None:
            self._reported[ENDED_BY] = self.ended_by
        told = self._reported if evaluation is None else self._reported | {EVALUATION: asdict(evaluation)}
        self._jobs.report(self._lease, told, checkpoint, history=new)
        self._told, self._untold = _epochs_done(self._reported), []

    def _newest_noted(self) -> int:
        return self._untold[-1].epoch if self._untold else self._told

    def _forget(self, digest: str | None) -> None:
        if digest is not None:
            self._blobs.delete(digest)


def _epochs_done(progress: Mapping[str, Any]) -> int:
    """Return the number of finished epochs in a progress report."""
    done: int = progress["epoch"] - (progress["update"] < progress["updates"])
    return done


def _progress(progress: Progress) -> dict[str, Any]:
    found = {name: getattr(progress, name) for name in ("epoch", "epochs", "update", "updates", "loss")}
    last = progress.history[-1] if progress.history else None
    return found | {
        "validation_loss": None if last is None else last.validation_loss,
        "learning_rate": None if last is None else last.learning_rate,
    }
