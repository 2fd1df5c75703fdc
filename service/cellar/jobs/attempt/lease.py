"""Renews the lease of an attempt in a thread, and records whether the job was cancelled or taken over."""

import logging
import threading
from collections.abc import Callable
from typing import Self

from cellar.errors import StoreUnavailable, Superseded
from cellar.ports import JobStore, Lease

logger = logging.getLogger(__name__)

RENEWALS = 5
"""Renewals within the time of a lease: four of them may be lost or late."""


class LeaseKeeper:
    """A context in which a lease is renewed. Kernels release the GIL, so training does not block the thread."""

    def __init__(self, store: JobStore, lease: Lease, lease_s: float) -> None:
        self.lease = lease
        self.cancelled = threading.Event()
        """Set when the job was asked to end."""
        self.superseded = threading.Event()
        """Set when another attempt has the job, or the job has ended."""
        self.watch: Callable[[], None] | None = None
        """Is called after each renewal. Raises Superseded or StoreUnavailable."""
        self._store = store
        self._lease_s = lease_s
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease of job {lease.job}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._left.wait(self._lease_s / RENEWALS):
            try:
                if not self._store.renew(self.lease, self._lease_s):
                    self.cancelled.set()
                if self.watch is not None:
                    self.watch()
            except Superseded:
                self.superseded.set()
                return
            except StoreUnavailable as error:
                # The lease may expire. If no other attempt begins before the store is back, this one still has the job.
                logger.warning("job %s: the lease cannot be renewed: %s", self.lease.job, error)
