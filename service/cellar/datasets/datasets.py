"""Datasets under their names: adds, opens, lists and deletes them."""

from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

from cellar.datasets.ingestion.ingest import BuiltTable
from cellar.datasets.storage.table_file import open_table
from cellar.errors import AlreadyExists, BlobUnknown, DatasetInUse, DatasetUnknown, JobUnknown, SweepUnknown
from cellar.ports import BlobStore, Clock, JobStore, SweepStore
from cellar.ports.catalogue.datasets import Announced, DatasetStore, StoredDataset, Table

ABANDONED_S = 3600.0
"""Time after which the file of a dataset that is not stored will not have one: to copy a file takes minutes."""

SWEEP_S = 600.0
"""Time between two searches for such files."""

OF_SWEEP = "sweep/"
"""Before the name of a sweep that needs a dataset; the names of jobs have no slash."""

SUBMITTED_S = 60.0
"""Time after which a job that needs a dataset and is not stored will not be: its submission has failed."""


class AddedDataset(NamedTuple):
    """A dataset, and whether the same request had added it before."""

    stored: StoredDataset
    replayed: bool


class DatasetQuota(Protocol):
    """Refuses datasets beyond the quotas of their tenant."""

    def admit_dataset(self, tenant: str, dataset_bytes: int) -> None:
        """Raise QuotaExceeded, Overloaded or StoreUnavailable for a dataset that may not be kept."""


class Datasets:
    """Datasets of all tenants. Synchronous and safe to call from several threads."""

    def __init__(
        self, store: DatasetStore, blobs: BlobStore, jobs: JobStore, clock: Clock, sweeps: SweepStore | None = None
    ) -> None:
        self._store = store
        self._sweeps = sweeps
        self._blobs = blobs
        self._jobs = jobs
        self._clock = clock
        self.quota: DatasetQuota | None = None
        """Refuses datasets beyond the quotas of their tenant; None: all are taken."""

    def add(self, tenant: str, dataset: str, built: BuiltTable, source: str) -> AddedDataset:
        """Keep a table under a name. The same table again under the same name returns the one that is there.

        Raise AlreadyExists, BodyTooLarge, QuotaExceeded or StoreUnavailable; then nothing is kept.
        """
        if self.quota is not None:
            self.quota.admit_dataset(tenant, built.size_bytes)
        blob = self._blobs.put_file(built.file, partial(self._store.announce, tenant, dataset))
        found = {name: value for name, value in built._asdict().items() if name != "file"}
        stored = StoredDataset(
            tenant=tenant, dataset=dataset, blob=blob, created_s=self._clock.now_s(), source=source, **found
        )
        other = self._store.create(stored)
        if other is not None:
            self._blobs.delete(blob)
        self._store.settle(blob)
        if other is None:
            return AddedDataset(stored, replayed=False)
        if other.digest != stored.digest:
            raise AlreadyExists(
                f"there is a dataset {dataset!r} with other readings, or with other roles or types of its columns:"
                " delete it, or send another name"
            )
        return AddedDataset(other, replayed=True)

    def sweep(self) -> int:
        """Delete files whose process was killed, or lost its Redis, before their dataset was stored; return how many.

        Raise StoreUnavailable.
        """
        deleted = 0
        for each in self._store.announced():
            if self._clock.now_s() - each.since_s < ABANDONED_S:
                continue
            if not self._has(each):
                self._blobs.delete(each.blob)
                deleted += 1
            self._store.settle(each.blob)
        return deleted

    def _has(self, announced: Announced) -> bool:
        """Return whether a dataset has the announced file."""
        with suppress(DatasetUnknown):
            return self._store.get(announced.tenant, announced.dataset).blob == announced.blob
        return False

    def get(self, tenant: str, dataset: str) -> StoredDataset:
        """Return the record of a dataset. Raise DatasetUnknown."""
        return self._store.get(tenant, dataset)

    def open(self, tenant: str, dataset: str) -> Table:
        """Return the table of a dataset, mapped from its file. Raise DatasetUnknown."""
        return self.table(self._store.get(tenant, dataset))

    def table(self, stored: StoredDataset) -> Table:
        """Return the table of a record, mapped from its file. Raise DatasetUnknown if it was deleted meanwhile."""
        try:
            return open_table(self._blobs.map(stored.blob))
        except BlobUnknown:
            raise DatasetUnknown(f"no dataset {stored.dataset!r}: it was deleted") from None

    def pin(self, tenant: str, dataset: str, job: str) -> StoredDataset:
        """Return the record of a dataset, which cannot be deleted until the job has ended. Raise DatasetUnknown.

        Call this before the job is stored. A job that is not stored within SUBMITTED_S does not count. A sweep needs it
        under the name OF_SWEEP + sweep.
        """
        return self._store.pin(tenant, dataset, job)

    def delete(self, tenant: str, dataset: str) -> None:
        """Delete a dataset. Raise DatasetUnknown, or DatasetInUse if jobs that have not ended need it."""
        stored = self._store.get(tenant, dataset)
        pins = self._store.pins(tenant, dataset)
        ended = frozenset(job for job, since_s in pins.items() if not self._is_active(tenant, job, since_s))
        if len(ended) < len(pins) or not self._store.delete(tenant, dataset, ended):
            count = max(1, len(pins) - len(ended))
            raise DatasetInUse(
                f"the dataset {dataset!r} is used by {count} jobs or sweeps that have not ended: cancel them first",
                jobs=count,
            )
        self._blobs.delete(stored.blob)

    def _is_active(self, tenant: str, job: str, since_s: float) -> bool:
        with suppress(JobUnknown, SweepUnknown):
            if self._sweeps is not None and job.startswith(OF_SWEEP):
                return self._sweeps.get(tenant, job.removeprefix(OF_SWEEP)).state == "running"
            return self._jobs.get(tenant, job).state in ("queued", "running")
        return self._clock.now_s() - since_s < SUBMITTED_S

    def list(self, tenant: str, limit: int = 100, after: str = "") -> tuple[list[StoredDataset], str]:
        """Return a page of datasets by name, and the cursor that continues ("" at the end)."""
        return self._store.list(tenant, limit, after)
