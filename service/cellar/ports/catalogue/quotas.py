"""Quotas of tenants: values, and the protocol of their store."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

Limits = Mapping[str, float | None]
"""Limits by the name of the quota; None: no limit."""


class LimitChanges(NamedTuple):
    """The limits of single tenants, and the revision at which they were read."""

    revision: int
    tenants: Mapping[str, Limits]


class CatalogueUse(NamedTuple):
    """The number of a tenant's models and jobs, and the size of their data."""

    models: int
    jobs: int
    """Training jobs that have not ended."""
    dataset_bytes: int
    """Bytes of their data, and of all stored datasets."""


class SessionUse(NamedTuple):
    """The sessions of a tenant, with those that have expired and are not swept yet."""

    sessions: int
    state_bytes: int


class QuotaStore(Protocol):
    """Stores the limits of single tenants, and what the processes of a fleet use. Synchronous, safe to call from
    several threads. All methods raise StoreUnavailable."""

    def limits(self, since: int) -> LimitChanges | None:
        """Return the limits of all tenants that have their own, None if nothing has changed since a revision."""

    def set_limits(self, tenant: str, limits: Limits) -> None:
        """Replace a tenant's own limits; without any, the settings hold again."""

    def share(self, process: str, use: str) -> Mapping[str, str]:
        """Store what a process uses now, and return that of all processes."""
        ...

    def leave(self, process: str) -> None:
        """Forget what a process uses."""
