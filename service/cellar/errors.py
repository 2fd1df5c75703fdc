"""Every error that Cellar raises on purpose, as one tree.

::

    CellarError
    ├── InvalidInput                 the caller sent something that can never work
    │   ├── CellError                cell text; carries line, column and a caret
    │   │   ├── CellSyntaxError
    │   │   ├── CellNameError
    │   │   ├── CellShapeError
    │   │   └── CellLimitError
    │   ├── ShapeMismatch            an array of the wrong shape
    │   ├── NotFinite                NaN or infinity where a finite float32 was expected
    │   ├── IdUnknown                a number that an embedding has no row for
    │   ├── WholeSequencesOnly       a single step of a network that reads sequences from both ends
    │   ├── InvalidParameter         a path, query or header value, which no JSON pointer can name
    │   ├── TooManyFaults            one line after the other of a body cannot be read
    │   ├── ForkTooLarge             more children of a large state than one request may make
    │   ├── FingerprintMismatch      the same key or sequence number with another body
    │   ├── StateNotFinite           the step would have made a state NaN or infinite
    │   └── OutputNotFinite          the step would have answered NaN or infinity
    ├── MalformedJson                bytes that are not JSON; carries line and column
    ├── MalformedBody                bytes that are not the npy, gzip or frames that they are said to be
    ├── MalformedRequest             bytes that are not one HTTP request to every reader; the connection is closed
    ├── BodyTooLarge
    ├── HeadTooLarge
    ├── RequestTimeout               a request that did not come whole in the time that it had
    ├── HostRefused                  the service was called by a name that is not its own
    ├── OriginRefused                a browser's page of another site
    ├── UnsupportedMediaType
    ├── NotAcceptable
    ├── NotFound
    │   ├── ModelUnknown
    │   ├── SessionUnknown
    │   ├── SnapshotUnknown
    │   ├── ShadowUnknown
    │   ├── JobUnknown
    │   └── BlobUnknown
    ├── Gone
    │   ├── SessionExpired
    │   └── ModelDeleted             the session is there, and its model was deleted by force
    ├── Conflict                     the resource is not where the caller believes it is
    │   ├── AlreadyExists
    │   ├── ModelInUse               something depends on a model that is to be deleted; carries what, and how many
    │   ├── Superseded               a newer attempt of the same job holds the lease
    │   ├── NotReached               a step that was to go before this one failed
    │   ├── KernelRevisionMismatch   the session is pinned to another arithmetic
    │   ├── SnapshotsFull            the session has as many snapshots as it may have
    │   ├── SnapshotUnfit            the snapshot is of another model
    │   ├── NotKept                  the session was made without what the request needs of its past
    │   ├── OutOfReach               what it keeps of its past does not reach so far; carries the steps that it reaches
    │   ├── ModelUnfit               a version that the session cannot go on with; carries what it should have
    │   └── PositionConflict         carries the session's present position
    │       ├── Regressed            ahead of the session: one before it has not come, or was lost
    │       ├── StepTaken            same step, other body
    │       ├── EpochChanged         reset or rewritten since
    │       ├── Diverged             same step, other history
    │       ├── ReplayExpired        the reply has left the replay window
    │       ├── SessionMoved         changed while a sequence ran that was to be applied as a whole
    │       ├── WriterUnknown        a writer that the session does not know begins with another request than its first
    │       └── Overlap              overlaps a committed sequence
    ├── Unavailable                  carries outcome and retry_after_s
    │   ├── StoreUnavailable
    │   ├── Overloaded
    │   └── DeadlineExceeded         the request had not begun when its time was over
    ├── InternalError                a fault of the service itself, told where only errors of this tree can be
    ├── CompileAbandoned             nobody waits for what was being compiled
    ├── StoreCorrupt                 a stored record that this version cannot read
    └── StartupError                 configuration or environment: the process cannot start
        ├── SettingsInvalid
        ├── RedisMissing
        └── CompileFailed

The tree knows no transport. `cellar.api.errors.problems` gives each class its HTTP status in one table.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

Outcome = Literal["not_applied", "unknown", "applied_not_durable"]


class CellarError(Exception):
    """The root. `slug` is the stable name that clients may match on; `members` are what an error tells besides."""

    slug: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    members: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, slug: str, title: str) -> None:
        cls.slug = slug
        cls.title = title

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def fields(self) -> dict[str, Any]:
        """Return the members that are known, by name."""
        found = {name: getattr(self, name) for name in self.members}
        return {name: value for name, value in found.items() if value is not None}


class InvalidInput(CellarError, slug="invalid_input", title="Invalid input"):
    """Something in the request can never work.

    `pointer` is an RFC 6901 JSON pointer to the fault, "" for the whole document.
    """

    members: ClassVar[tuple[str, ...]] = ("pointer", "expected", "actual")

    def __init__(
        self, detail: str, *, pointer: str = "", expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.expected = expected
        self.actual = actual


class CellError(InvalidInput, slug="cell_invalid", title="Invalid cell"):
    """A fault in cell text. `line` and `column` count from 1; `excerpt` is the line with a caret below."""

    members = (*InvalidInput.members, "line", "column", "excerpt")

    def __init__(
        self,
        detail: str,
        *,
        line: int = 1,
        column: int = 1,
        excerpt: str = "",
        pointer: str = "",
        expected: str | None = None,
        actual: str | None = None,
    ) -> None:
        super().__init__(detail, pointer=pointer, expected=expected, actual=actual)
        self.line = line
        self.column = column
        self.excerpt = excerpt


class CellSyntaxError(CellError, slug="cell_syntax", title="Cell syntax error"):
    """The text is not in the cell language."""


class CellNameError(CellError, slug="cell_name", title="Cell name error"):
    """A name that is unknown, reserved, assigned twice or misspelt."""


class CellShapeError(CellError, slug="cell_shape", title="Cell shape error"):
    """Shapes that do not fit, or a size that cannot be inferred."""


class CellLimitError(CellError, slug="cell_limit", title="Cell too large"):
    """More operations, depth or text than a cell may have."""


class ShapeMismatch(InvalidInput, slug="shape_mismatch", title="Wrong shape"):
    """An array whose shape is not the expected one."""


class NotFinite(InvalidInput, slug="not_finite", title="Number not finite"):
    """A number that is not finite after the cast to float32."""


class IdUnknown(InvalidInput, slug="id_unknown", title="Unknown id"):
    """An input of an embedding that is none of its ids."""


class WholeSequencesOnly(InvalidInput, slug="whole_sequences_only", title="Whole sequences only"):
    """A single step of a model that reads each sequence from both ends."""


class InvalidParameter(InvalidInput, slug="invalid_parameter", title="Invalid parameter"):
    """A value outside the body: `location` is path, query or header, `parameter` its name there."""

    members = ("location", "parameter", "expected", "actual")

    def __init__(
        self, detail: str, *, location: str, parameter: str, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(detail, expected=expected, actual=actual)
        self.location = location
        self.parameter = parameter


class TooManyFaults(InvalidInput, slug="too_many_faults", title="Too many faults"):
    """So many lines in a row could not be read that the rest of the body was not read at all."""


class ForkTooLarge(InvalidInput, slug="fork_too_large", title="Fork too large"):
    """The children would have more state together than one request may write; none was made."""


class FingerprintMismatch(InvalidInput, slug="fingerprint_mismatch", title="Key used with another body"):
    """An idempotency key that was used before with another body."""


class StateNotFinite(InvalidInput, slug="state_not_finite", title="State not finite"):
    """The step would leave a state NaN or infinite; nothing was committed."""


class OutputNotFinite(InvalidInput, slug="output_not_finite", title="Output not finite"):
    """The step would answer NaN or infinity; nothing was committed."""


class MalformedJson(CellarError, slug="malformed_json", title="Malformed JSON"):
    """The body is not JSON. `line` and `column` count from 1, `offset` (in characters) from 0."""

    members = ("line", "column", "offset")

    def __init__(self, detail: str, *, line: int, column: int, offset: int) -> None:
        super().__init__(detail)
        self.line = line
        self.column = column
        self.offset = offset


class MalformedBody(CellarError, slug="malformed_body", title="Malformed body"):
    """The body is not the npy, gzip or frames that it is said to be.

    `offset` counts the bytes before the fault, where that is known.
    """

    members = ("offset",)

    def __init__(self, detail: str, *, offset: int | None = None) -> None:
        super().__init__(detail)
        self.offset = offset


class MalformedRequest(CellarError, slug="malformed_request", title="Malformed request"):
    """The bytes are not an HTTP request, or two readers may find two requests in them. The connection is closed."""


class BodyTooLarge(CellarError, slug="body_too_large", title="Body too large"):
    """The request body is over the limit."""


class HostRefused(CellarError, slug="host_refused", title="Host refused"):
    """The `Host` is none of the service's names: a web page may have made its own name lead here."""


class HeadTooLarge(CellarError, slug="head_too_large", title="Request head too large"):
    """The head of the request, or its trailers, are over the limit."""


class RequestTimeout(CellarError, slug="request_timeout", title="Request timeout"):
    """The request did not come in the time that it had; nothing was applied."""


class OriginRefused(CellarError, slug="origin_refused", title="Origin refused"):
    """A page of another site, whose browser asks nobody before it sends a change or opens a WebSocket."""


class UnsupportedMediaType(CellarError, slug="unsupported_media_type", title="Unsupported media type"):
    """A content type, or an encoding of it, that the route does not read."""


class NotAcceptable(CellarError, slug="not_acceptable", title="Not acceptable"):
    """None of the types that the request accepts can be answered."""


class NotFound(CellarError, slug="not_found", title="Not found"):
    """Nothing has that name."""


class ModelUnknown(NotFound, slug="model_unknown", title="Unknown model"):
    """No model, or no version of it, has that name."""


class SessionUnknown(NotFound, slug="session_unknown", title="Unknown session"):
    """No session has that name; a step never makes one."""


class SnapshotUnknown(NotFound, slug="snapshot_unknown", title="Unknown snapshot"):
    """The session has no snapshot of that name."""


class ShadowUnknown(NotFound, slug="shadow_unknown", title="Unknown shadow"):
    """The session has no shadow."""


class JobUnknown(NotFound, slug="job_unknown", title="Unknown job"):
    """No job has that name."""


class BlobUnknown(NotFound, slug="blob_unknown", title="Unknown blob"):
    """No blob has that digest, or a part of it is missing."""


class Gone(CellarError, slug="gone", title="Gone"):
    """It was there and is no more."""


class SessionExpired(Gone, slug="session_expired", title="Session expired"):
    """The session outlived its lifetime."""


class ModelDeleted(Gone, slug="model_deleted", title="Model deleted"):
    """The session's model was deleted. Its state can be read, and it can migrate to another model."""


class Conflict(CellarError, slug="conflict", title="Conflict"):
    """The resource is not in the state that the request assumes."""


class AlreadyExists(Conflict, slug="already_exists", title="Already exists"):
    """The name is taken by something else."""


class ModelInUse(Conflict, slug="model_in_use", title="Model in use"):
    """Something depends on the model; `?force=true` deletes it all the same.

    `sessions`, `jobs` (queued or running), `shadows` and `snapshots` count what depends on it.
    """

    members: ClassVar[tuple[str, ...]] = ("sessions", "jobs", "shadows", "snapshots")

    def __init__(self, detail: str, *, sessions: int = 0, jobs: int = 0, shadows: int = 0, snapshots: int = 0) -> None:
        super().__init__(detail)
        self.sessions = sessions
        self.jobs = jobs
        self.shadows = shadows
        self.snapshots = snapshots


class Superseded(Conflict, slug="superseded", title="Superseded by a newer attempt"):
    """Another attempt of the same job holds the lease now."""


class NotReached(Conflict, slug="not_reached", title="Not reached"):
    """A step that was to go before this one on the same stream failed; this one was not applied."""


class KernelRevisionMismatch(Conflict, slug="kernel_revision_mismatch", title="Another kernel revision"):
    """A session, a snapshot or a checkpoint was computed under another revision of the arithmetic."""


class SnapshotsFull(Conflict, slug="snapshots_full", title="Too many snapshots"):
    """The session has as many snapshots as it may have."""


class SnapshotUnfit(Conflict, slug="snapshot_unfit", title="Snapshot of another model"):
    """The snapshot was taken of another model than the session has now."""


class NotKept(Conflict, slug="not_kept", title="Not kept"):
    """The session keeps no history, no log or no events, and the request needs them."""


class OutOfReach(Conflict, slug="out_of_reach", title="Out of reach"):
    """What the session keeps of its past does not reach so far.

    `reachable` are the steps of the present epoch that it reaches, as [first, last].
    """

    members: ClassVar[tuple[str, ...]] = ("reachable",)

    def __init__(self, detail: str, *, reachable: Sequence[tuple[int, int]] | None = None) -> None:
        super().__init__(detail)
        self.reachable = reachable


class ModelUnfit(Conflict, slug="model_unfit", title="Model does not fit"):
    """The version cannot take the session on: its inputs, states or outputs are others, and the log is of no help."""

    members: ClassVar[tuple[str, ...]] = ("expected", "actual")

    def __init__(self, detail: str, *, expected: str | None = None, actual: str | None = None) -> None:
        super().__init__(detail)
        self.expected = expected
        self.actual = actual


class PositionConflict(Conflict, slug="position_conflict", title="Position conflict"):
    """The session is not at the position that the request names."""

    members: ClassVar[tuple[str, ...]] = ("position",)

    def __init__(self, detail: str, *, position: str) -> None:
        super().__init__(detail)
        self.position = position


class Regressed(PositionConflict, slug="regressed", title="Ahead of the session"):
    """The request is ahead of the session: one before it has not come yet, or the store has lost it."""


class StepTaken(PositionConflict, slug="step_taken", title="Step taken"):
    """The step was committed with another body."""


class EpochChanged(PositionConflict, slug="epoch_changed", title="Epoch changed"):
    """The session was reset or rewritten since that position."""


class Diverged(PositionConflict, slug="diverged", title="History diverged"):
    """The step is right and the history behind it is another one."""


class ReplayExpired(PositionConflict, slug="replay_expired", title="Replay expired"):
    """The step is older than the replay window."""


class WriterUnknown(PositionConflict, slug="writer_unknown", title="Unknown writer"):
    """A writer that the session does not know, or no longer, whose request is not its first."""


class SessionMoved(PositionConflict, slug="session_moved", title="Session moved meanwhile"):
    """The session was changed while a long sequence ran that was to be applied as a whole; send all of it again."""


class Overlap(PositionConflict, slug="overlap", title="Overlaps a committed sequence"):
    """The request overlaps a committed sequence; `boundaries` are its first and next step."""

    members = (*PositionConflict.members, "boundaries")

    def __init__(self, detail: str, *, position: str, boundaries: tuple[int, int]) -> None:
        super().__init__(detail, position=position)
        self.boundaries = boundaries


class Unavailable(CellarError, slug="unavailable", title="Unavailable"):
    """Not now. `outcome` says what is known of the request's effect."""

    members = ("outcome",)

    def __init__(self, detail: str, *, outcome: Outcome = "not_applied", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.outcome: Outcome = outcome
        self.retry_after_s = retry_after_s


class StoreUnavailable(Unavailable, slug="store_unavailable", title="Store unavailable"):
    """Redis refuses or is gone."""


class Overloaded(Unavailable, slug="overloaded", title="Overloaded"):
    """Too much waits, or too many are connected; nothing was applied."""


class DeadlineExceeded(Unavailable, slug="deadline_exceeded", title="Deadline exceeded"):
    """The request had not begun when its time was over; nothing was applied."""


class CompileAbandoned(CellarError, slug="compile_abandoned", title="Compilation abandoned"):
    """A compilation was ended because nobody waited for it any more."""


class StoreCorrupt(CellarError, slug="store_corrupt", title="Unreadable record"):
    """A stored record that cannot be read: damaged, or written by a newer version."""


class InternalError(CellarError, slug="internal_error", title="Internal error"):
    """A fault of the service itself. Its log says more."""

    def __init__(self) -> None:
        super().__init__("The service failed; the fault is in its log.")


class StartupError(CellarError, slug="startup_error", title="Cannot start"):
    """The process cannot start; the detail says what to change."""


class SettingsInvalid(StartupError, slug="settings_invalid", title="Invalid setting"):
    """A setting has a value that it cannot have."""


class RedisMissing(StartupError, slug="redis_missing", title="No Redis"):
    """No Redis is configured and no server binary can be found."""


class CompileFailed(StartupError, slug="compile_failed", title="Compilation failed"):
    """A kernel could not be compiled or loaded.

    `exceeded`: it took more time or memory than a kernel may take. `text` is the kernel's, where that is known.
    """

    def __init__(self, detail: str, *, exceeded: bool = False, text: str = "") -> None:
        super().__init__(detail)
        self.exceeded = exceeded
        self.text = text
