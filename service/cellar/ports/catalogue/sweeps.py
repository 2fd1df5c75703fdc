"""Sweeps, searches for the best settings of a training job: values and protocol of their store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

SweepState = Literal["running", "succeeded", "failed", "cancelled"]
TrialState = Literal["waiting", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One job of a sweep."""

    number: int
    """Of its parameters, from 1; trials of later rungs have those of earlier ones again."""
    parameters: dict[str, Any]
    """Values by the names of the request."""
    rung: int = 0
    epochs: int | None = None
    """The epochs of a rung; None: those of the job."""
    job: str | None = None
    state: TrialState = "waiting"
    value: float | None = None
    """The loss that `evaluation` of the job has; None if it is not known or not finite."""
    error: str | None = None
    key: str | None = None
    """The Idempotency-Key of a trial that a client has added."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep as stored."""

    tenant: str
    sweep: str
    spec: dict[str, Any]
    """The request, with the data of `job` in a `blob`, and the `epochs` of the job."""
    created_s: float
    state: SweepState = "running"
    trials: tuple[Trial, ...] = field(default=())
    cancelling: bool = False
    finishing: bool = False
    """Clients add no further trials."""
    publishing: str | None = None
    """The job whose weights are published, once the best is known."""
    result: str | None = None
    error: str | None = None
    ended_s: float | None = None
    revision: int = 0
    """Counts the changes of the record; a change is a compare-and-set on it."""


class SweepStore(Protocol):
    """Stores sweeps. Synchronous and safe to call from several threads."""

    def write(self, sweep: Sweep, events: Sequence[tuple[str, dict[str, Any]]] = ()) -> bool:
        """Store a sweep as the revision after that of `sweep`, with events by their kinds, if it is still the newest.

        Revision 0 creates it. Return False if the stored revision is another one.
        """

    def get(self, tenant: str, sweep: str) -> Sweep:
        """Return a sweep. Raise SweepUnknown."""

    def list(self, tenant: str, limit: int, after: str = "") -> tuple[list[Sweep], str]:
        """Return a page of sweeps, the newest first, and the cursor that continues ("" at the end)."""

    def active(self) -> Sequence[tuple[str, str]]:
        """Return tenant and name of all sweeps that have not ended."""

    def data_bytes(self, tenant: str) -> int:
        """Return the bytes of the data of a tenant's sweeps that have not ended."""

    def delete(self, tenant: str, sweep: str) -> None:
        """Delete an ended sweep."""
