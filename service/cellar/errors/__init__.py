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
    │   ├── ImportRefused            a file of a network that cannot be read or expressed; carries place and remedy
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

from cellar.errors.base import CellarError, Outcome
from cellar.errors.inputs import (
    CellError,
    CellLimitError,
    CellNameError,
    CellShapeError,
    CellSyntaxError,
    FingerprintMismatch,
    ForkTooLarge,
    IdUnknown,
    ImportRefused,
    InvalidInput,
    InvalidParameter,
    NotFinite,
    OutputNotFinite,
    ShapeMismatch,
    StateNotFinite,
    TooManyFaults,
    WholeSequencesOnly,
)
from cellar.errors.positions import (
    Diverged,
    EpochChanged,
    Overlap,
    PositionConflict,
    Regressed,
    ReplayExpired,
    SessionMoved,
    StepTaken,
    WriterUnknown,
)
from cellar.errors.requests import (
    BodyTooLarge,
    HeadTooLarge,
    HostRefused,
    MalformedBody,
    MalformedJson,
    MalformedRequest,
    NotAcceptable,
    OriginRefused,
    RequestTimeout,
    UnsupportedMediaType,
)
from cellar.errors.resources import (
    AlreadyExists,
    BlobUnknown,
    Conflict,
    Gone,
    JobUnknown,
    KernelRevisionMismatch,
    ModelDeleted,
    ModelInUse,
    ModelUnfit,
    ModelUnknown,
    NotFound,
    NotKept,
    NotReached,
    OutOfReach,
    SessionExpired,
    SessionUnknown,
    ShadowUnknown,
    SnapshotsFull,
    SnapshotUnfit,
    SnapshotUnknown,
    Superseded,
)
from cellar.errors.service import (
    CompileAbandoned,
    CompileFailed,
    DeadlineExceeded,
    InternalError,
    Overloaded,
    RedisMissing,
    SettingsInvalid,
    StartupError,
    StoreCorrupt,
    StoreUnavailable,
    Unavailable,
)

__all__ = [
    "AlreadyExists",
    "BlobUnknown",
    "BodyTooLarge",
    "CellError",
    "CellLimitError",
    "CellNameError",
    "CellShapeError",
    "CellSyntaxError",
    "CellarError",
    "CompileAbandoned",
    "CompileFailed",
    "Conflict",
    "DeadlineExceeded",
    "Diverged",
    "EpochChanged",
    "FingerprintMismatch",
    "ForkTooLarge",
    "Gone",
    "HeadTooLarge",
    "HostRefused",
    "IdUnknown",
    "ImportRefused",
    "InternalError",
    "InvalidInput",
    "InvalidParameter",
    "JobUnknown",
    "KernelRevisionMismatch",
    "MalformedBody",
    "MalformedJson",
    "MalformedRequest",
    "ModelDeleted",
    "ModelInUse",
    "ModelUnfit",
    "ModelUnknown",
    "NotAcceptable",
    "NotFinite",
    "NotFound",
    "NotKept",
    "NotReached",
    "OriginRefused",
    "OutOfReach",
    "Outcome",
    "OutputNotFinite",
    "Overlap",
    "Overloaded",
    "PositionConflict",
    "RedisMissing",
    "Regressed",
    "ReplayExpired",
    "RequestTimeout",
    "SessionExpired",
    "SessionMoved",
    "SessionUnknown",
    "SettingsInvalid",
    "ShadowUnknown",
    "ShapeMismatch",
    "SnapshotUnfit",
    "SnapshotUnknown",
    "SnapshotsFull",
    "StartupError",
    "StateNotFinite",
    "StepTaken",
    "StoreCorrupt",
    "StoreUnavailable",
    "Superseded",
    "TooManyFaults",
    "Unavailable",
    "UnsupportedMediaType",
    "WholeSequencesOnly",
    "WriterUnknown",
]
