"""Queues jobs again whose worker has died, and deletes the blobs of ended jobs that are no longer needed."""

import logging
import threading
from collections.abc import Callable

from cellar.errors import CellarError, StoreUnavailable
from cellar.jobs.job_blobs import STATE_BYTES, delete_blobs, delete_data
from cellar.jobs.queue import JobQueue
from cellar.ports import BlobStore, Job, JobStore
from cellar.ports.failure_log import FailureLog

logger = logging.getLogger(__name__)


class Sweeper:
    """Looks for such jobs. Every worker and every API process has one; without such jobs a sweep is two commands."""

    def __init__(self, jobs: JobStore, blobs: BlobStore, job_queue: JobQueue, where: str | None = None) -> None:
        """`where` is the address of the store, for the log; None if another part of the process logs its outages."""
        self._jobs = jobs
        self._blobs = blobs
        self._job_queue = job_queue
        self._where = where
        self._failures = FailureLog(logger, "jobs can be swept again")

    def sweep(self) -> None:
        """Queue orphans that are not queued, and delete the blobs of ended jobs. Raise StoreUnavailable."""
        for job in self._jobs.orphans():
            if not self._job_queue.waiting(job):
                logger.info("job %s has no worker after %d attempts: queued", job.job, job.attempt)
                # A job that has been running does not wait again behind all that are queued.
                self._job_queue.push(job, first=job.attempt > 0)
        for job in self._jobs.ended():
            self._clear(job)

    def run(self, stop: threading.Event, every_s: float, is_due: Callable[[], bool] = lambda: True) -> None:
        """Sweep every `every_s` until `stop` is set, whenever `is_due`."""
        while not stop.wait(every_s):
            if is_due():
                self.try_sweep()

    def try_sweep(self) -> None:
        """Sweep, and log errors: the next sweep tries again."""
        try:
            self.sweep()
            self._failures.worked()
        except StoreUnavailable as error:
            if self._where is not None or not error.is_lost:
                at = "" if self._where is None else f" (Redis at {self._where})"
                self._failures.failed(f"jobs cannot be swept now: {error}{at}")
        except CellarError:
            logger.exception("a job cannot be swept")

    def _clear(self, job: Job) -> None:
        if job.state == "succeeded" and job.checkpoint is not None and job.outcome is not None:
            delete_data(job, self._blobs)
            if self._jobs.keep(job, job.outcome.get(STATE_BYTES, 0)):
                return
        delete_blobs(job, self._blobs)
        self._jobs.cleared(job.tenant, job.job)
