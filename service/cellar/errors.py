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
    │   ├── InvalidParameter         a path, query or header value, which no JSON pointer can name
    │   ├── FingerprintMismatch      the same key or sequence number with another body
    │   ├── StateNotFinite           the step would have made a state NaN or infinite
    │   └── OutputNotFinite          the step would have answered NaN or infinity
    ├── MalformedJson                bytes that are not JSON; carries line and column
    ├── BodyTooLarge
    ├── UnsupportedMediaType
    ├── NotFound
    │   ├── ModelUnknown
    │   ├── SessionUnknown
    │   ├── JobUnknown
    │   └── BlobUnknown
    ├── Gone
    │   └── SessionExpired
    ├── Conflict                     the resource is not where the caller believes it is
    │   ├── AlreadyExists
    │   ├── Superseded               a newer attempt of the same job holds the lease
    │   ├── KernelRevisionMismatch   the session is pinned to another arithmetic
    │   └── PositionConflict         carries the session's present position
    │       ├── Regressed            the client is ahead: the server lost steps
    │       ├── StepTaken            same step, other body
    │       ├── EpochChanged         reset or rewritten since
    │       ├── Diverged             same step, other history
    │       ├── ReplayExpired        the reply has left the replay window
    │       └── Overlap              overlaps a committed sequence
    ├── Unavailable                  carries outcome and retry_after_s
    │   ├── StoreUnavailable
    │   └── Overloaded
    ├── StoreCorrupt                 a stored record that this version cannot read
    └── StartupError                 configuration or environment: the process cannot start
        ├── SettingsInvalid
        ├── RedisMissing
        └── CompileFailed

The tree knows no transport. `cellar.api.problems` gives each class its HTTP status in one table.
"""

from typing import Any, Literal

Outcome = Literal["not_applied", "unknown", "applied_not_durable"]


class CellarError(Exception):
    """The root. `slug` is the stable name that clients may match on."""

    slug = "error"
    title = "Error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def fields(self) -> dict[str, Any]:
        """Return the members that a problem document adds to `detail`."""
        return {}


class InvalidInput(CellarError):
    """Something in the request can never work.

    `pointer` is an RFC 6901 JSON pointer to the fault, "" for the whole document.
    """

    slug = "invalid_input"
    title = "Invalid input"

    def __init__(
        self, detail: str, *, pointer: str = "", expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.expected = expected
        self.actual = actual

    def fields(self) -> dict[str, Any]:
        """Return pointer, expected and actual where they are known."""
        found = {"pointer": self.pointer, "expected": self.expected, "actual": self.actual}
        return {name: value for name, value in found.items() if value is not None}


class CellError(InvalidInput):
    """A fault in cell text. `line` and `column` count from 1; `excerpt` is the line with a caret below."""

    slug = "cell_invalid"
    title = "Invalid cell"

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

    def fields(self) -> dict[str, Any]:
        """Return the place in the text besides what every invalid input has."""
        return {**super().fields(), "line": self.line, "column": self.column, "excerpt": self.excerpt}


class CellSyntaxError(CellError):
    """The text is not in the cell language."""

    slug = "cell_syntax"
    title = "Cell syntax error"


class CellNameError(CellError):
    """A name that is unknown, reserved, assigned twice or misspelt."""

    slug = "cell_name"
    title = "Cell name error"


class CellShapeError(CellError):
    """Shapes that do not fit, or a size that cannot be inferred."""

    slug = "cell_shape"
    title = "Cell shape error"


class CellLimitError(CellError):
    """More operations, depth or text than a cell may have."""

    slug = "cell_limit"
    title = "Cell too large"


class ShapeMismatch(InvalidInput):
    """An array whose shape is not the expected one."""

    slug = "shape_mismatch"
    title = "Wrong shape"


class NotFinite(InvalidInput):
    """A number that is not finite after the cast to float32."""

    slug = "not_finite"
    title = "Number not finite"


class InvalidParameter(InvalidInput):
    """A value outside the body: `location` is path, query or header, `parameter` its name there."""

    slug = "invalid_parameter"
    title = "Invalid parameter"

    def __init__(
        self, detail: str, *, location: str, parameter: str, expected: str | None = None, actual: str | None = None
    ) -> None:
        super().__init__(detail, expected=expected, actual=actual)
        self.location = location
        self.parameter = parameter

    def fields(self) -> dict[str, Any]:
        """Return the parameter's place instead of a pointer into the body."""
        found = {"location": self.location, "parameter": self.parameter, **super().fields()}
        del found["pointer"]
        return found


class FingerprintMismatch(InvalidInput):
    """An idempotency key that was used before with another body."""

    slug = "fingerprint_mismatch"
    title = "Key used with another body"


class StateNotFinite(InvalidInput):
    """The step would leave a state NaN or infinite; nothing was committed."""

    slug = "state_not_finite"
    title = "State not finite"


class OutputNotFinite(InvalidInput):
    """The step would answer NaN or infinity; nothing was committed."""

    slug = "output_not_finite"
    title = "Output not finite"


class MalformedJson(CellarError):
    """The body is not JSON. `line` and `column` count from 1, `offset` (in characters) from 0."""

    slug = "malformed_json"
    title = "Malformed JSON"

    def __init__(self, detail: str, *, line: int, column: int, offset: int) -> None:
        super().__init__(detail)
        self.line = line
        self.column = column
        self.offset = offset

    def fields(self) -> dict[str, Any]:
        """Return the place where reading stopped."""
        return {"line": self.line, "column": self.column, "offset": self.offset}


class BodyTooLarge(CellarError):
    """The request body is over the limit."""

    slug = "body_too_large"
    title = "Body too large"


class UnsupportedMediaType(CellarError):
    """A content type that the route does not read."""

    slug = "unsupported_media_type"
    title = "Unsupported media type"


class NotFound(CellarError):
    """Nothing has that name."""

    slug = "not_found"
    title = "Not found"


class ModelUnknown(NotFound):
    """No model, or no version of it, has that name."""

    slug = "model_unknown"
    title = "Unknown model"


class SessionUnknown(NotFound):
    """No session has that name; a step never makes one."""

    slug = "session_unknown"
    title = "Unknown session"


class JobUnknown(NotFound):
    """No job has that name."""

    slug = "job_unknown"
    title = "Unknown job"


class BlobUnknown(NotFound):
    """No blob has that digest, or a part of it is missing."""

    slug = "blob_unknown"
    title = "Unknown blob"


class Gone(CellarError):
    """It was there and is no more."""

    slug = "gone"
    title = "Gone"


class SessionExpired(Gone):
    """The session outlived its lifetime."""

    slug = "session_expired"
    title = "Session expired"


class Conflict(CellarError):
    """The resource is not in the state that the request assumes."""

    slug = "conflict"
    title = "Conflict"


class AlreadyExists(Conflict):
    """The name is taken by something else."""

    slug = "already_exists"
    title = "Already exists"


class Superseded(Conflict):
    """Another attempt of the same job holds the lease now."""

    slug = "superseded"
    title = "Superseded by a newer attempt"


class KernelRevisionMismatch(Conflict):
    """The session was stepped under another revision of the arithmetic."""

    slug = "kernel_revision_mismatch"
    title = "Another kernel revision"


class PositionConflict(Conflict):
    """The session is not at the position that the request names."""

    slug = "position_conflict"
    title = "Position conflict"

    def __init__(self, detail: str, *, position: str) -> None:
        super().__init__(detail)
        self.position = position

    def fields(self) -> dict[str, Any]:
        """Return the session's present position."""
        return {"position": self.position}


class Regressed(PositionConflict):
    """The client is ahead of the server, which has lost steps."""

    slug = "regressed"
    title = "Session regressed"


class StepTaken(PositionConflict):
    """The step was committed with another body."""

    slug = "step_taken"
    title = "Step taken"


class EpochChanged(PositionConflict):
    """The session was reset or rewritten since that position."""

    slug = "epoch_changed"
    title = "Epoch changed"


class Diverged(PositionConflict):
    """The step is right and the history behind it is another one."""

    slug = "diverged"
    title = "History diverged"


class ReplayExpired(PositionConflict):
    """The step is older than the replay window."""

    slug = "replay_expired"
    title = "Replay expired"


class Overlap(PositionConflict):
    """The request overlaps a committed sequence; `boundaries` are its first and next step."""

    slug = "overlap"
    title = "Overlaps a committed sequence"

    def __init__(self, detail: str, *, position: str, boundaries: tuple[int, int]) -> None:
        super().__init__(detail, position=position)
        self.boundaries = boundaries

    def fields(self) -> dict[str, Any]:
        """Return the position and the boundaries of the committed entry."""
        return {**super().fields(), "boundaries": list(self.boundaries)}


class Unavailable(CellarError):
    """Not now. `outcome` says what is known of the request's effect."""

    slug = "unavailable"
    title = "Unavailable"

    def __init__(self, detail: str, *, outcome: Outcome = "not_applied", retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.outcome: Outcome = outcome
        self.retry_after_s = retry_after_s

    def fields(self) -> dict[str, Any]:
        """Return what is known of the request's effect."""
        return {"outcome": self.outcome}


class StoreUnavailable(Unavailable):
    """Redis refuses or is gone."""

    slug = "store_unavailable"
    title = "Store unavailable"


class Overloaded(Unavailable):
    """The queue is full; nothing was applied."""

    slug = "overloaded"
    title = "Overloaded"


class StoreCorrupt(CellarError):
    """A stored record that cannot be read: damaged, or written by a newer version."""

    slug = "store_corrupt"
    title = "Unreadable record"


class StartupError(CellarError):
    """The process cannot start; the detail says what to change."""

    slug = "startup_error"
    title = "Cannot start"


class SettingsInvalid(StartupError):
    """A setting has a value that it cannot have."""

    slug = "settings_invalid"
    title = "Invalid setting"


class RedisMissing(StartupError):
    """No Redis is configured and no server binary can be found."""

    slug = "redis_missing"
    title = "No Redis"


class CompileFailed(StartupError):
    """A kernel could not be compiled or loaded."""

    slug = "compile_failed"
    title = "Compilation failed"
