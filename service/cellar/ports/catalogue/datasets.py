"""Datasets, which are tables of readings under a name: values and protocol of the store of their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cellar.table import Column, ColumnType, Role, Table

__all__ = ["MOST_SHOWN", "Announced", "Column", "ColumnType", "DatasetStore", "Role", "StoredDataset", "Table"]


MOST_SHOWN = 100
"""Most categories of a column that an answer shows, and a record has: all of them are in the file."""


@dataclass(frozen=True, slots=True)
class StoredDataset:
    """The record of a dataset. A dataset never changes."""

    tenant: str
    dataset: str
    """Its name."""
    digest: str
    """SHA-256 of its columns and values: the same readings have the same."""
    blob: str
    """Digest of the file with the table, which belongs to this dataset alone."""
    columns: tuple[Column, ...]
    """A column of a record that was read has the first of its categories alone, if there are many."""
    rows: int
    series: int
    """Number of series."""
    size_bytes: int
    """Bytes of the file."""
    created_s: float
    first_s: float | None = None
    """The earliest time, seconds since the Unix epoch; None without a time column."""
    last_s: float | None = None
    interval_s: float | None = None
    """The median time between two rows of a series; None without a time column, or if no series has two rows."""
    source: str = "text/csv"
    """The media type that it was read from, or `sessions`."""
    categories_total: tuple[int, ...] = ()
    """The number of categories of each column; empty if the columns have all of them."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A file that is stored for a dataset, and the dataset, which may not be created."""

    tenant: str
    dataset: str
    blob: str
    since_s: float
    """When its storing began, seconds since the Unix epoch."""


class DatasetStore(Protocol):
    """Stores the records of datasets, and which jobs need them. Synchronous and safe to call from several threads."""

    def announce(self, tenant: str, dataset: str, blob: str) -> None:
        """Record that a file will be stored for a dataset, so that it can be found if the process is killed."""

    def announced(self) -> Sequence[Announced]:
        """Return the files that were announced and not settled, of all tenants."""
        ...

    def settle(self, blob: str) -> None:
        """Record that an announced file has its dataset, or is deleted; unknown ones are no error."""

    def create(self, dataset: StoredDataset) -> StoredDataset | None:
        """Store a dataset. Return None, or, if the name is taken, the dataset that has it."""

    def get(self, tenant: str, dataset: str) -> StoredDataset:
        """Return a dataset. Raise DatasetUnknown."""

    def size_bytes(self, tenant: str) -> int:
        """Return the bytes of all datasets of a tenant."""
        ...

    def pin(self, tenant: str, dataset: str, job: str) -> StoredDataset:
        """Return a dataset, which cannot be deleted from now on until `unpin`. Raise DatasetUnknown."""

    def unpin(self, tenant: str, dataset: str, job: str) -> None:
        """Record that a job does not need the dataset any more; unknown ones are no error."""

    def pins(self, tenant: str, dataset: str) -> dict[str, float]:
        """Return the jobs that need the dataset, and when each began to, seconds since the Unix epoch."""
        ...

    def delete(self, tenant: str, dataset: str, pins: frozenset[str]) -> bool:
        """Delete a record if no other jobs than these need it; return whether it is deleted. Raise DatasetUnknown."""
        ...

    def list(self, tenant: str, limit: int, after: str = "") -> tuple[list[StoredDataset], str]:
        """Return up to `limit` datasets by name, and the cursor that continues ("" at the end)."""
