"""Protocols of stores, and the values that packages pass to each other.

The methods for sessions are asynchronous, because an asyncio server calls them for each step. Those for models, blobs
and jobs are synchronous, because a training worker is an ordinary process; the API calls them on a thread.
Every implementation of a protocol passes the same tests (`tests/store`).
"""

from cellar.ports.caller import ANYBODY, TENANTS, Caller
from cellar.ports.catalogue.blobs import BlobStore
from cellar.ports.catalogue.jobs import Job, JobState, JobStore, Lease
from cellar.ports.catalogue.models import Dependents, ModelStore, ModelUses, ModelVersion
from cellar.ports.clock import Clock
from cellar.ports.companions.events import Away, Event, EventStore, Look
from cellar.ports.companions.history import Kept, Logged, Past, PastStore
from cellar.ports.companions.shadows import Shadow, ShadowStore
from cellar.ports.companions.snapshots import Held, Snapshot, SnapshotStore, Taken
from cellar.ports.names import MODEL_NAME, MODEL_NAME_IN_WORDS, NAME, NAME_IN_WORDS
from cellar.ports.sessions.changes import (
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
from cellar.ports.sessions.commit import Applied, Commit, CommitResult, Committed, Done, Moved, Retold
from cellar.ports.sessions.record import (
    EVERY_SESSION,
    Born,
    DeletedModel,
    SessionFilter,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionSummary,
)
from cellar.ports.sessions.store import SessionStore
from cellar.ports.sessions.writers import MAX_WRITERS, NO_WRITERS, Writer, Writers, writer_mark

__all__ = [
    "ANYBODY",
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
    "TENANTS",
    "UNMARKED",
    "Applied",
    "Away",
    "BlobStore",
    "Born",
    "Caller",
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
