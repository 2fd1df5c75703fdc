"""Training jobs, their attempts and leases: values and protocol of their store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

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
    """Number of attempts so far; only the newest can hold the lease."""
    started_s: float | None = None
    ended_s: float | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    result: str | None = None
    """The new version, `name@4`, of a job that has succeeded."""
    error: str | None = None
    checkpoint: str | None = None
    """Digest of the newest checkpoint blob."""
    spare: str | None = None
    """Digest of a checkpoint blob that an attempt has begun to write and not recorded yet."""
    cancel_asked_s: float | None = None
    """When the running job was asked to end."""
    outcome: dict[str, Any] | None = None
    """The version that a finished training will publish; set once, after which the job can no longer be cancelled."""


class UnendedJob(NamedTuple):
    """The facts that are counted of a job that is queued or running."""

    tenant: str
    state: JobState
    created_s: float


class JobPlace(NamedTuple):
    """A place in the events of a job."""

    tenant: str
    job: str
    after: str = ""
    """The id of the last event before it; "": the place before the first event that is kept."""


class JobEvent(NamedTuple):
    """An event of a job: a change of its state, progress, or its end."""

    id: str
    """The time of the job's creation in ms and the number of the event, from 1: `1700000000250-3`."""
    kind: str
    """`state`, `progress` or `end`."""
    data: str
    """JSON."""


class JobEventPage(NamedTuple):
    """The next events of a job, and the state of the job behind the last event."""

    state: JobState | None
    """None if there is no such job."""
    events: Sequence[JobEvent]
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one attempt to write; every write of a worker needs it."""

    tenant: str
    job: str
    attempt: int


class JobStore(Protocol):
    """Stores jobs, their leases and their progress. Synchronous and safe to call from several threads."""

    def create(self, job: Job) -> None:
        """Store a queued job. Raise AlreadyExists."""

    def get(self, tenant: str, job: str) -> Job:
        """Return a job. Raise JobUnknown."""

    def acquire(self, tenant: str, job: str, lease_s: float) -> Lease | None:
        """Begin the next attempt; return None if the job has a live lease, has ended or was cancelled.

        A job whose last attempts all died without a new checkpoint fails here instead.
        """

    def renew(self, lease: Lease, lease_s: float) -> bool:
        """Extend the lease to `lease_s` from now; 0 ends it. Return False if the job was cancelled.

        Raise Superseded.
        """

    def abandon(self, lease: Lease, death: str) -> None:
        """End the lease of an attempt whose process has died. Raise Superseded.

        `death` says how it died, for the error of the job if no further attempt is made.
        """

    def release(self, lease: Lease) -> None:
        """Give the job back: the next attempt may begin at once, and this one does not count. Raise Superseded."""

    def claim(self, lease: Lease, blob: str) -> str | None:
        """Record the digest of a checkpoint before it is written, so that a crash leaves no unknown blob.

        Return the digest of an earlier checkpoint that was never reported, for deletion. Raise Superseded.
        """

    def report(
        self,
        lease: Lease,
        progress: dict[str, Any],
        checkpoint: str | None = None,
        *,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Record progress and, when given, the newest checkpoint. Raise Superseded.

        `history` has a record of each newly finished epoch in ascending order, with its number in `epoch`; a repeated
        epoch is replaced.
        """

    def store_result(self, lease: Lease, result: bytes) -> None:
        """Store the result of a backtest, which is kept as long as the job. Raise Superseded."""

    def seal(self, lease: Lease, outcome: dict[str, Any]) -> bool:
        """Set what the job will publish; return False if the job was cancelled before. Raise Superseded.

        Only the first call counts, and only a sealed outcome is published.
        """

    def finish(self, lease: Lease, state: JobState, *, result: str | None = None, error: str | None = None) -> None:
        """End the job. Raise Superseded if another attempt holds it."""

    def cancel(self, tenant: str, job: str) -> Job:
        """Ask the job to end; a job without a live lease ends at once. Raise JobUnknown."""

    def retry(self, tenant: str, job: str) -> Job:
        """Queue a failed or cancelled job again. Raise JobUnknown, JobActive or JobNotRetryable."""

    def promote(self, job: Job, outcome: dict[str, Any]) -> bool:
        """Queue a succeeded job again with an outcome that is to be published; False if it cannot be, or was."""

    def delete(self, tenant: str, job: str) -> None:
        """Delete an ended job, whose blobs are deleted already. Raise JobUnknown or JobActive."""

    def unfinished(self, tenant: str, model: str) -> list[Job]:
        """Return the queued and running jobs that train a version of `model` ("name"), or that one ("name@3")."""

    def orphans(self) -> Iterator[Job]:
        """Yield the queued or running jobs without a live lease; cancelled ones among them end here.

        Each job is yielded to only one caller every few seconds.
        """

    def ended(self) -> Iterator[Job]:
        """Yield the ended jobs whose blobs (dataset, checkpoints) are to be deleted.

        Those of failed and cancelled jobs are kept for some time, so that the jobs can be tried again.
        """

    def keep(self, job: Job, state_bytes: int) -> bool:
        """Keep the last checkpoint of a succeeded job, so that others can resume from it; False if it cannot be kept.

        It is kept for some time, and up to a number of bytes of all jobs; then `ended` yields the job again.
        """

    def cleared(self, tenant: str, job: str) -> None:
        """Record that the blobs of an ended job are deleted."""

    def history(self, tenant: str, job: str) -> list[dict[str, Any]]:
        """Return the newest finished epochs (at least 1,000 are kept), oldest first. Raise JobUnknown."""

    def unended(self) -> Sequence[UnendedJob]:
        """Return the queued and running jobs of all tenants."""

    def list(self, tenant: str, limit: int, state: JobState | None = None, after: str = "") -> tuple[list[Job], str]:
        """Return up to `limit` jobs, or jobs in one state, the newest first, and the cursor that continues.

        `after` is the cursor of the page before, "" for the first page; the last page has the cursor "".
        """


class JobEventStore(Protocol):
    """Reads the events and the epochs of jobs. Synchronous and safe to call from several threads."""

    def events(self, places: Sequence[JobPlace]) -> list[JobEventPage]:
        """Return the events behind each of these places; of a long list the first ones."""

    def epochs(self, tenant: str, job: str, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return up to `limit` finished epochs behind the one of a number, the oldest first. Raise JobUnknown.

        The second value is the number that continues, None at the end.
        """

    def result(self, tenant: str, job: str) -> bytes | None:
        """Return the result of a job that is a backtest, None if there is none."""

    def outcomes(self) -> dict[JobState, int]:
        """Return how many jobs of all tenants have ended in each state."""
