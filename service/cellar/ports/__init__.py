"""What the inner rooms need from the outside world, as Protocols and the plain values that cross them.

Session traffic is asynchronous, because it is the hot path of an asyncio server. Models, blobs and jobs are
synchronous, because a training worker is an ordinary process; the api calls them on a thread.
Every implementation of a port passes the one test suite of that port (`tests/store`).
"""

from cellar.ports.blobs import BlobStore
from cellar.ports.changes import (
    APPEND,
    DIGEST_BYTES,
    MARK_BYTES,
    UNMARKED,
    Change,
    Changes,
    Identity,
    Position,
    StepChanges,
    in_a_row,
)
from cellar.ports.clock import Clock
from cellar.ports.events import Away, Event, EventStore, Look
from cellar.ports.jobs import Job, JobState, JobStore, Lease
from cellar.ports.models import Dependents, ModelStore, ModelUses, ModelVersion
from cellar.ports.names import MODEL_NAME, MODEL_NAME_IN_WORDS, NAME, NAME_IN_WORDS
from cellar.ports.past import Kept, Logged, Past, PastStore
from cellar.ports.sessions import (
    EVERY_SESSION,
    Applied,
    Born,
    Commit,
    CommitResult,
    Committed,
    DeletedModel,
    Done,
    Moved,
    Retold,
    SessionFilter,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionStore,
    SessionSummary,
)
from cellar.ports.shadows import Shadow, ShadowStore
from cellar.ports.snapshots import Held, Snapshot, SnapshotStore, Taken
from cellar.ports.writers import MAX_WRITERS, NO_WRITERS, Writer, Writers, writer_mark

__all__ = [
    "APPEND",
    "DIGEST_BYTES",
    "EVERY_SESSION",
    "MARK_BYTES",
    "MAX_WRITERS",
    "MODEL_NAME",
    "MODEL_NAME_IN_WORDS",
    "NAME",
    "NAME_IN_WORDS",
    "NO_WRITERS",
    "UNMARKED",
    "Applied",
    "Away",
    "BlobStore",
    "Born",
    "Change",
    "Changes",
    "Clock",
    "Commit",
    "CommitResult",
    "Committed",
    "DeletedModel",
    "Dependents",
    "Done",
    "Event",
    "EventStore",
    "Held",
    "Identity",
    "Job",
    "JobState",
    "JobStore",
    "Kept",
    "Lease",
    "Logged",
    "Look",
    "ModelStore",
    "ModelUses",
    "ModelVersion",
    "Moved",
    "Past",
    "PastStore",
    "Position",
    "Retold",
    "SessionFilter",
    "SessionKey",
    "SessionMeta",
    "SessionRecord",
    "SessionStore",
    "SessionSummary",
    "Shadow",
    "ShadowStore",
    "Snapshot",
    "SnapshotStore",
    "StepChanges",
    "Taken",
    "Writer",
    "Writers",
    "in_a_row",
    "writer_mark",
]
