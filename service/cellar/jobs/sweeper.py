"""Finds jobs that nobody holds and queues them again; clears away what ended jobs leave."""

import logging
import threading

from cellar.errors import CellarError, StoreUnavailable
from cellar.jobs.calls import Calls
from cellar.ports import BlobStore, Job, JobStore

logger = logging.getLogger(__name__)


class Sweeper:
    """Every worker and every api sweeps: two cheap questions when there is nothing to do."""

    def __init__(self, jobs: JobStore, blobs: BlobStore, calls: Calls) -> None:
        self._jobs = jobs
        self._blobs = blobs
        self._calls = calls

    def sweep(self) -> None:
        """Queue orphans whose call is not waiting already, and clear ended jobs. Raise StoreUnavailable."""
        for job in self._jobs.orphans():
            if not self._calls.waiting(job):
                logger.info("job %s: nobody holds it after %d attempts; queued", job.job, job.attempt)
                self._calls.push(job)
        for job in self._jobs.ended():
            self._clear(job)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Sweep until `stop` is set; a store that is away is waited for."""
        while not stop.wait(every_s):
            self.try_sweep()

    def try_sweep(self) -> None:
        """Sweep, and leave what goes wrong to the next sweep."""
        try:
            self.sweep()
        except StoreUnavailable as error:
            logger.warning("jobs cannot be swept now: %s", error)
        except CellarError:
            logger.exception("a job cannot be swept")

    def _clear(self, job: Job) -> None:
        for digest in (job.spec["data"]["blob"], job.checkpoint, job.spare):
            if digest is not None:
                self._blobs.delete(digest)
        self._jobs.cleared(job.tenant, job.job)
