"""Training jobs: their record, the lease of the attempt that runs, and what it reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as stored."""

    tenant: str
    job: str
    state: JobState
    spec: dict[str, Any]
    """The request as JSON: `cellar.nn.training.spec.TrainingSpec`, with the dataset replaced by its blob digests."""
    created_s: float
    attempt: int = 0
    """How many workers have begun it; the newest attempt holds the lease."""
    started_s: float | None = None
    ended_s: float | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    """The new version, `name@4`, once it has succeeded."""
    error: str | None = None
    checkpoint: str | None = None
    """Digest of the newest checkpoint blob."""
    spare: str | None = None
    """Digest of a checkpoint blob that an attempt began to write and has not recorded."""
    cancel_asked_s: float | None = None
    """When somebody asked the running job to end."""
    outcome: dict[str, Any] | None = None
    """What a finished training will publish; fixed once, and from then on the job can no longer be cancelled."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one attempt to write: every write of a worker carries it."""

    tenant: str
    job: str
    attempt: int


class JobStore(Protocol):
    """Jobs, their leases and their progress. Synchronous and safe to call from several threads."""

    def create(self, job: Job) -> None:
        """Store a queued job. Raise AlreadyExists."""
        ...

    def get(self, tenant: str, job: str) -> Job:
        """Return a job. Raise JobUnknown."""
        ...

    def acquire(self, tenant: str, job: str, lease_s: float) -> Lease | None:
        """Begin the next attempt if nobody holds the job; None if it is held, ended or cancelled.

        A job whose last attempts all died without a new checkpoint fails here, and is not begun again.
        """
        ...

    def renew(self, lease: Lease, lease_s: float) -> bool:
        """Keep the lease for `lease_s` from now, 0 ends it: the attempt is known to be dead.

        Return False if the job should stop (cancelled). Raise Superseded.
        """
        ...

    def abandon(self, lease: Lease, death: str) -> None:
        """End the lease of an attempt whose process died of `death`: the job's error names it if no other follows.

        Raise Superseded.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Give the job back unharmed: the next attempt may begin at once. Raise Superseded."""
        ...

    def claim(self, lease: Lease, blob: str) -> str | None:
        """Note the digest of a checkpoint before it is written, so that a crash leaves no unknown blob.

        Return the digest of an earlier one that was never recorded, for deletion. Raise Superseded.
        """
        ...

    def report(
        self,
        lease: Lease,
        progress: dict[str, Any],
        checkpoint: str | None = None,
        *,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Record progress and, when given, the newest checkpoint. Raise Superseded.

        `history` holds what is kept of finished epochs, each with its `epoch`; an epoch told again is replaced.
        """
        ...

    def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
        """Fix what the job will publish, once; return False if it should stop instead (cancelled).

        Only the holder of the lease can seal, and only what is sealed is published. Raise Superseded.
        """
        ...

    def finish(self, lease: Lease, state: JobState, *, result: str | None = None, error: str | None = None) -> None:
        """End the job. Raise Superseded if another attempt holds it."""
        ...

    def cancel(self, tenant: str, job: str) -> Job:
        """Ask for the job to end; one that nobody holds ends at once. Raise JobUnknown."""
        ...

    def unfinished(self, tenant: str, model: str) -> list[Job]:
        """Return the queued and running jobs that train a version of `model` ("name"), or that one ("name@3")."""
        ...

    def orphans(self) -> Iterator[Job]:
        """Yield the queued or running jobs whose lease nobody holds; those that were asked to end do so here.

        Each is yielded to one caller every few seconds, however many look.
        """
        ...

    def ended(self) -> Iterator[Job]:
        """Yield the ended jobs whose blobs (dataset, checkpoints) have not been cleared away."""
        ...

    def cleared(self, tenant: str, job: str) -> None:
        """Note that nothing but the record is left of an ended job."""
        ...

    def history(self, tenant: str, job: str) -> list[dict[str, Any]]:
        """Return the newest finished epochs (at least 1,000 are kept), oldest first. Raise JobUnknown."""
        ...

    def list(self, tenant: str, limit: int, state: JobState | None = None) -> list[Job]:
        """Return the newest jobs first, or the newest of those in one state."""
        ...
