"""All errors that Cellar raises on purpose, as one tree of exceptions.

::

    CellarError
    ├── InvalidInput                 a request that is always refused
    │   ├── CellError                cell text; carries line, column and a caret
    │   │   ├── CellSyntaxError
    │   │   ├── CellNameError
    │   │   ├── CellShapeError
    │   │   └── CellLimitError
    │   ├── ShapeMismatch            an array of the wrong shape
    │   ├── NotFinite                NaN or infinity where a finite float32 was expected
    │   ├── IdUnknown                an input of an embedding that is not one of its ids
    │   ├── TypeMismatch             a number that an input of a graph cannot hold, such as 0.5 for an integer
    │   ├── WholeSequencesOnly       a single step of a network that reads sequences from both ends
    │   ├── InvalidParameter         a path, query or header value, which no JSON pointer can name
    │   ├── TooManyFaults            too many lines of a body in a row cannot be read
    │   ├── DatasetInvalid           a file of readings that cannot be read as asked; carries row and column
    │   ├── ImportRefused            a file of a network that cannot be read or expressed; carries place and remedy
    │   ├── JobTooLarge              a training job with more memory than it may have
    │   ├── ForkTooLarge             children with more state than one request may write
    │   ├── FingerprintMismatch      the same key or sequence number with another body
    │   ├── StateNotFinite           the new state would be NaN or infinite
    │   ├── OutputNotFinite          the output would be NaN or infinite
    │   └── StepFailed               a step that the model cannot compute
    ├── MalformedJson                bytes that are not JSON; carries line and column
    ├── MalformedBody                bytes that are not valid npy, gzip or frames
    ├── MalformedRequest             bytes that two HTTP parsers may read differently; the connection is closed
    ├── BodyTooLarge
    ├── HeadTooLarge
    ├── RequestTimeout               a request that did not arrive completely in time
    ├── HostRefused                  a `Host` that is not a name of the service
    ├── OriginRefused                a request from a web page of another site
    ├── Unauthenticated              a request without a valid API key
    ├── ScopeMissing                 an API key that has not the scope of the request; has the scope
    ├── UnsupportedMediaType
    ├── NotAcceptable
    ├── NotFound
    │   ├── ModelUnknown
    │   ├── AliasUnknown
    │   ├── SessionUnknown
    │   ├── SnapshotUnknown
    │   ├── ShadowUnknown
    │   ├── DeletionUnknown
    │   ├── DatasetUnknown
    │   ├── JobUnknown
    │   ├── BacktestUnknown
    │   ├── SweepUnknown
    │   ├── KeyUnknown
    │   └── BlobUnknown
    ├── Gone
    │   ├── SessionExpired
    │   └── ModelDeleted             the session exists, and its model was deleted by force
    ├── Conflict                     the resource is not in the state that the request assumes
    │   ├── AlreadyExists
    │   ├── JobActive                a job that is to be deleted or tried again has not ended
    │   ├── SweepActive              a sweep that is to be deleted has not ended
    │   ├── SweepNotOpen             a sweep takes no trials of clients: it has ended, or chooses them itself
    │   ├── JobNotRetryable          a job that has succeeded, or whose data are deleted, is to be tried again
    │   ├── JobNotResumable          a job is to be continued whose state is not kept
    │   ├── DatasetInUse             jobs that have not ended need the dataset; has their number
    │   ├── ModelInUse               something depends on a model that is to be deleted; has the numbers of dependents
    │   ├── AliasMoved               the alias has another version than the request expects; has its version
    │   ├── KeysNotUsed              the service has no pepper for API keys
    │   ├── KeysFull                 the installation has the largest allowed number of API keys
    │   ├── AliasesFull              the model has the largest allowed number of aliases
    │   ├── Superseded               a newer attempt of the same job holds the lease
    │   ├── NotReached               an earlier step of the same stream or bulk request failed
    │   ├── KernelRevisionMismatch   the session has another revision of the arithmetic
    │   ├── SnapshotsFull            the session has the largest allowed number of snapshots
    │   ├── SnapshotUnfit            the snapshot is of another model
    │   ├── NotKept                  the session keeps no history, log, events or learning, which the request needs
    │   ├── OutOfReach               a step that the history does not reach; has the steps that can be reached
    │   ├── ModelUnfit               a version that cannot run the session; has what it should have
    │   └── PositionConflict         has the present position of the session
    │       ├── Regressed            ahead of the session: an earlier step has not arrived, or was lost
    │       ├── StepTaken            the same step with another body
    │       ├── EpochChanged         the session has begun a new epoch
    │       ├── Diverged             the same step after another history
    │       ├── ReplayExpired        the answer is no longer stored
    │       ├── SessionMoved         the session was changed while a sequence ran that was to be applied as a whole
    │       ├── WriterUnknown        a request of an unknown writer that is not its first
    │       └── Overlap              the request overlaps a committed sequence
    ├── Unavailable                  has outcome and retry_after_s
    │   ├── StoreUnavailable
    │   ├── Overloaded               has the limit that is reached, if it is one
    │   │   └── QuotaExceeded        the limit of a tenant
    │   └── DeadlineExceeded         the request had not begun when its time was over
    ├── InternalError                a fault of the service, for places that can only raise errors of this tree
    ├── CompileAbandoned             all clients that waited for a compilation have disconnected
    ├── StoreCorrupt                 a stored record that this version cannot read
    └── StartupError                 configuration or environment: the process cannot start
        ├── SettingsInvalid
        ├── RedisMissing
        └── CompileFailed

The errors do not depend on HTTP. A table in `cellar.api.errors.problems` gives each class its HTTP status.
"""

from cellar.errors.base import CellarError, Outcome
from cellar.errors.inputs import (
    CellError,
    CellLimitError,
    CellNameError,
    CellShapeError,
    CellSyntaxError,
    DatasetInvalid,
    FingerprintMismatch,
    ForkTooLarge,
    IdUnknown,
    ImportRefused,
    InvalidInput,
    InvalidParameter,
    JobTooLarge,
    NotFinite,
    OutputNotFinite,
    ShapeMismatch,
    StateNotFinite,
    StepFailed,
    TooManyFaults,
    TypeMismatch,
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
    ScopeMissing,
    Unauthenticated,
    UnsupportedMediaType,
)
from cellar.errors.resources import (
    AliasesFull,
    AliasMoved,
    AliasUnknown,
    AlreadyExists,
    BacktestUnknown,
    BlobUnknown,
    Conflict,
    DatasetInUse,
    DatasetUnknown,
    DeletionUnknown,
    Gone,
    JobActive,
    JobNotResumable,
    JobNotRetryable,
    JobUnknown,
    KernelRevisionMismatch,
    KeysFull,
    KeysNotUsed,
    KeyUnknown,
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
    SweepActive,
    SweepNotOpen,
    SweepUnknown,
)
from cellar.errors.service import (
    CompileAbandoned,
    CompileFailed,
    DeadlineExceeded,
    InternalError,
    Overloaded,
    QuotaExceeded,
    RedisMissing,
    SettingsInvalid,
    StartupError,
    StoreCorrupt,
    StoreUnavailable,
    Unavailable,
)
