"""What the inner rooms need from the outside world, as Protocols and the plain values that cross them.

Session traffic is asynchronous, because it is the hot path of an asyncio server. Models, blobs and jobs are
synchronous, because a training worker is an ordinary process; the api calls them on a thread.
Every implementation of a port passes the one test suite of that port (`tests/store`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from cellar.errors import CellarError

JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Clock(Protocol):
    """Time as a dependency, so that tests need not wait."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""
        ...


# --- sessions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """Where a session stands: `step` steps of epoch `epoch` behind it, with `digest` over all of them."""

    epoch: str
    step: int
    digest: str

    def __str__(self) -> str:
        return f"{self.epoch}.{self.step}.{self.digest}"


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A session's name: tenant and id, both matching `[A-Za-z0-9._-]{1,128}`."""

    tenant: str
    session: str


@dataclass(frozen=True, slots=True)
class SessionMeta:
    """What never changes in a session's life, unless it is migrated."""

    model: str
    """The pinned version, `name@3`."""
    model_digest: str
    batch_size: int
    """Rows: independent sequences that step together."""
    kernel_rev: int
    ttl_s: int
    created_s: float
    birth: str
    """Its first epoch: tells it from an earlier session of the same name."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session as stored. `state` is float32 little endian, (batch_size, state_size), row by row."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    revision: int
    """How often it has been changed, by steps and otherwise."""
    state: bytes


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """What a listing tells of a session: everything but its state, and how long it has to live when left alone."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    left_s: float


@dataclass(frozen=True, slots=True)
class Identity:
    """How a change is recognised when it comes a second time (design, section 5). All None: append."""

    position: Position | None = None
    step: int | None = None
    key: str | None = None

    @property
    def ordered(self) -> bool:
        """Whether the request names its place in the session's history."""
        return self.position is not None or self.step is not None


@dataclass(frozen=True, slots=True)
class Commit:
    """One compare-and-set: if the session is still what `before` says, it moves to `position` with `state`.

    `steps` is how many steps the entry holds; 0 marks a change that is not a step (reset, PUT state).
    `fingerprint` (16 bytes) identifies the request's body, `nonce` (16 bytes) this one request; `output` is what a
    replay answers. `ask_s` above 0 asks the other processes, if this commit loses again, to leave the session alone
    for so long.
    """

    before: SessionRecord
    position: Position
    state: bytes
    steps: int
    identity: Identity
    fingerprint: bytes
    nonce: bytes
    output: bytes
    ask_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was applied now, or (`replayed`) had been applied before by the same request."""

    position: Position
    steps: int
    output: bytes | None
    """None when it was too large to be kept for a replay."""
    replayed: bool
    asked_s: float = 0.0
    """Above 0: another process keeps losing the race for this session and asks to be let in for so long."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The session is not what the commit expected; nothing was written. `record` is what it is now."""

    record: SessionRecord


CommitResult = Committed | Moved | CellarError


class SessionStore(Protocol):
    """Sessions and the commit that moves them."""

    async def create(self, record: SessionRecord) -> SessionSummary | None:
        """Create the session if its name is free and return None; else return the session that has the name."""
        ...

    async def load(self, key: SessionKey) -> SessionRecord:
        """Return the session. Raise SessionUnknown, SessionExpired or StoreUnavailable."""
        ...

    async def find(self, key: SessionKey, identity: Identity, fingerprint: bytes) -> Committed | SessionRecord:
        """Return the committed answer to a request seen before, or the session if the request may run on it.

        Raise the PositionConflict or FingerprintMismatch that the request deserves, or what `load` raises.
        """
        ...

    async def summary(self, key: SessionKey) -> SessionSummary:
        """Return the session without its state. Raise as `load`."""
        ...

    async def commit(self, commits: Sequence[Commit]) -> list[CommitResult]:
        """Apply a tick: one result for each commit, in order. A session occurs at most once in a tick.

        A result that is an error (SessionUnknown, SessionExpired, FingerprintMismatch, StoreUnavailable) concerns its
        own commit only. The caller must not be cancelled before it has the answer.
        """
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Delete the session; return False if there was none."""
        ...

    async def list(self, tenant: str, cursor: str, limit: int) -> tuple[list[SessionSummary], str]:
        """Return up to `limit` sessions after `cursor` ("" to begin), and the next cursor, "" at the end."""
        ...

    async def ping(self) -> dict[str, Any]:
        """Return what the connected server really gives (durability, policy, version); raise StoreUnavailable."""
        ...


# --- models ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One immutable version of a model."""

    tenant: str
    name: str
    version: int
    digest: str
    """sha256 over the canonical network and the weights' digest."""
    network: dict[str, Any]
    """The network as JSON: `cellar.nn.spec.NetworkSpec`."""
    weights: str
    """Digest of the safetensors blob."""
    created_s: float
    parent: str | None = None
    """The version this one was trained from, `name@3`."""
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """Return the name that pins this version."""
        return f"{self.name}@{self.version}"


class ModelStore(Protocol):
    """Model versions and their aliases. Synchronous and safe to call from several threads."""

    def add(self, version: ModelVersion, *, token: str) -> ModelVersion:
        """Store a version under the next free number (`version.version` is ignored) and move the alias to it.

        `token` makes it idempotent: the same token returns the version that it made before.
        """
        ...

    def get(self, tenant: str, name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest if None. Raise ModelUnknown."""
        ...

    def versions(self, tenant: str, name: str) -> list[ModelVersion]:
        """Return all versions, oldest first. Raise ModelUnknown."""
        ...

    def names(self, tenant: str) -> list[str]:
        """Return the names of all models, sorted."""
        ...

    def delete(self, tenant: str, name: str) -> list[str]:
        """Delete a model with all its versions; its numbers are never used again. Raise ModelUnknown.

        Return the digests of weights that no version refers to any more.
        """
        ...

    def refers(self, weights: str) -> bool:
        """Return whether any version of any tenant refers to the weights with this digest."""
        ...


class BlobStore(Protocol):
    """Immutable bytes under their own sha256. Synchronous and safe to call from several threads."""

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest (lower-case hex). Storing again is free."""
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown."""
        ...

    def delete(self, digest: str) -> None:
        """Forget a blob; forgetting an unknown one is no error."""
        ...


# --- jobs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as stored."""

    tenant: str
    job: str
    state: JobState
    spec: dict[str, Any]
    """The request as JSON: `cellar.nn.training.TrainingSpec`, with the dataset replaced by its blob digests."""
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

    def list(self, tenant: str, limit: int) -> list[Job]:
        """Return the newest jobs first."""
        ...
