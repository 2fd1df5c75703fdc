"""Protocols of stores, and the values that packages pass to each other.

The methods for sessions are asynchronous, because an asyncio server calls them for each step. Those for models, blobs
and jobs are synchronous, because a training worker is an ordinary process; the API calls them on a thread.
Every implementation of a protocol passes the same tests (`tests/store`).
"""

from cellar.ports.caller import ANYBODY, SCOPES, TENANT_SCOPES, Caller, Scope, TenantScope, granted
from cellar.ports.catalogue.blobs import BlobStore
from cellar.ports.catalogue.datasets import Column, DatasetStore, StoredDataset, Table
from cellar.ports.catalogue.jobs import (
    Job,
    JobEvent,
    JobEventPage,
    JobEventStore,
    JobPlace,
    JobState,
    JobStore,
    Lease,
    UnendedJob,
)
from cellar.ports.catalogue.keys import ApiKey, KeyChanges, KeyStore
from cellar.ports.catalogue.models import (
    ANY_VERSION,
    Alias,
    AliasMove,
    Dependents,
    ModelStore,
    ModelUses,
    ModelVersion,
)
from cellar.ports.catalogue.sweeps import Sweep, SweepState, SweepStore, Trial, TrialState
from cellar.ports.clock import Clock, repeat
from cellar.ports.companions.deletions import Deletion, DeletionStore
from cellar.ports.companions.events import Event, EventPage, EventStore, MissingSession
from cellar.ports.companions.history import HistoryStore, KeptState, LogEntry, StoredHistory
from cellar.ports.companions.shadows import Shadow, ShadowStore
from cellar.ports.companions.snapshots import RequestCopy, Snapshot, SnapshotResult, SnapshotStore
from cellar.ports.names import (
    ALIAS,
    ALIAS_IN_WORDS,
    MODEL_NAME,
    MODEL_NAME_IN_WORDS,
    MODEL_REFERENCE,
    MOST_NAME_BYTES,
    NAME,
    NAME_CHARACTER,
    NAME_IN_WORDS,
    SNAPSHOT_NAME,
    SNAPSHOT_NAME_IN_WORDS,
    TENANT,
    TENANT_IN_WORDS,
    is_name,
    is_prefix,
    names_of,
    shown_name,
)
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
    join_changes,
)
from cellar.ports.sessions.commit import (
    Applied,
    Commit,
    CommitCallback,
    CommitConflict,
    CommitResult,
    Committed,
    CommittedChange,
)
from cellar.ports.sessions.record import (
    EVERY_SESSION,
    DeletedModel,
    Following,
    Origin,
    RedoEntry,
    SessionFilter,
    SessionKey,
    SessionMeta,
    SessionRecord,
    SessionSummary,
)
from cellar.ports.sessions.scores import join_scores, split_scores
from cellar.ports.sessions.steps import (
    ROW,
    ROW_LEFT_OUT,
    ROW_RESET,
    ROWS,
    Floats,
    Mask,
    Readings,
    Reset,
    Row,
    RowChoice,
    RowFlags,
    StepCommand,
    StepKind,
    StepResult,
)
from cellar.ports.sessions.store import SessionStore
from cellar.ports.sessions.writers import MAX_WRITERS, NO_WRITERS, Writer, Writers, writer_mark
