"""Errors about resources that do not exist, or that are not in the state that the request needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cellar.errors.base import CellarError


class NotFound(CellarError, slug="not_found", title="Not found"):
    """There is no resource with that name."""


class ModelUnknown(NotFound, slug="model_unknown", title="Unknown model"):
    """No model, or no version of it, has that name."""


class AliasUnknown(NotFound, slug="alias_unknown", title="Unknown alias"):
    """The model has no alias of that name."""


class SessionUnknown(NotFound, slug="session_unknown", title="Unknown session"):
    """No session has that name. A step never creates a session."""


class SnapshotUnknown(NotFound, slug="snapshot_unknown", title="Unknown snapshot"):
    """The session has no snapshot of that name."""


class ShadowUnknown(NotFound, slug="shadow_unknown", title="Unknown shadow"):
    """The session has no shadow."""


class DeletionUnknown(NotFound, slug="deletion_unknown", title="Unknown deletion"):
    """No deletion of sessions has that name, or it ended long ago."""


class JobUnknown(NotFound, slug="job_unknown", title="Unknown job"):
    """No job has that name."""


class BacktestUnknown(NotFound, slug="backtest_unknown", title="Unknown backtest"):
    """There is no such backtest that a worker runs, or it is of another tenant."""


class SweepUnknown(NotFound, slug="sweep_unknown", title="Sweep unknown"):
    """There is no such sweep, or it is of another tenant."""


class DatasetUnknown(NotFound, slug="dataset_unknown", title="Unknown dataset"):
    """No dataset has that name."""


class KeyUnknown(NotFound, slug="key_unknown", title="Unknown key"):
    """No API key of the tenant has that id, or it has ended."""


class BlobUnknown(NotFound, slug="blob_unknown", title="Unknown blob"):
    """No blob has that digest, or a part of it is missing."""


class Gone(CellarError, slug="gone", title="Gone"):
    """The resource existed and was removed."""


class SessionExpired(Gone, slug="session_expired", title="Session expired"):
    """The lifetime of the session is over."""


class ModelDeleted(Gone, slug="model_deleted", title="Model deleted"):
    """The session's model was deleted. Its state can be read, and it can migrate to another model."""


class Conflict(CellarError, slug="conflict", title="Conflict"):
    """The resource is not in the state that the request assumes."""


class AlreadyExists(Conflict, slug="already_exists", title="Already exists"):
    """The name is used by something else."""


class JobActive(Conflict, slug="job_active", title="Job active"):
    """The training job has not ended, and can be neither deleted nor tried again before."""


class SweepActive(Conflict, slug="sweep_active", title="Sweep active"):
    """The sweep has not ended, and cannot be deleted before."""


class SweepNotOpen(Conflict, slug="sweep_not_open", title="Sweep not open"):
    """The sweep takes no trials of clients: it has ended, or it chooses its trials itself."""


class JobNotRetryable(Conflict, slug="job_not_retryable", title="Job not retryable"):
    """The training job cannot be tried again: it has succeeded, or its data are deleted."""


class JobNotResumable(Conflict, slug="job_not_resumable", title="Job not resumable"):
    """The state of the training job's optimiser is not kept: it is too old or too large, or there never was one."""


@dataclass(eq=False, repr=False, kw_only=True)
class ModelInUse(Conflict, slug="model_in_use", title="Model in use"):
    """Something depends on the model or the version; `?force=true` deletes it nevertheless.

    `sessions`, `jobs` (queued or running), `shadows`, `snapshots` and `aliases` are the numbers of dependents.
    """

    members: ClassVar[tuple[str, ...]] = ("sessions", "jobs", "shadows", "snapshots", "aliases")
    sessions: int = 0
    jobs: int = 0
    shadows: int = 0
    snapshots: int = 0
    aliases: int = 0


@dataclass(eq=False, repr=False, kw_only=True)
class DatasetInUse(Conflict, slug="dataset_in_use", title="Dataset in use"):
    """Training jobs that have not ended need the dataset; `jobs` is their number."""

    members: ClassVar[tuple[str, ...]] = ("jobs",)
    jobs: int


@dataclass(eq=False, repr=False, kw_only=True)
class AliasMoved(Conflict, slug="alias_moved", title="Alias moved"):
    """The alias does not have the version that the request expects. `version` is the one that it has; 0: none."""

    members: ClassVar[tuple[str, ...]] = ("version",)
    version: int


class KeysNotUsed(Conflict, slug="keys_not_used", title="Keys not used"):
    """The service has no pepper, under which API keys are stored."""


class KeysFull(Conflict, slug="keys_full", title="Too many keys"):
    """The installation has the largest allowed number of API keys."""


class AliasesFull(Conflict, slug="aliases_full", title="Too many aliases"):
    """The model has the largest allowed number of aliases."""


class Superseded(Conflict, slug="superseded", title="Superseded by a newer attempt"):
    """A newer attempt of the same job holds the lease."""


class NotReached(Conflict, slug="not_reached", title="Not reached"):
    """An earlier step of the same stream or bulk request failed, so this one was not applied."""


class KernelRevisionMismatch(Conflict, slug="kernel_revision_mismatch", title="Another kernel revision"):
    """A session, a snapshot or a checkpoint was computed under another revision of the arithmetic."""


class SnapshotsFull(Conflict, slug="snapshots_full", title="Too many snapshots"):
    """The session has the largest allowed number of snapshots."""


class SnapshotUnfit(Conflict, slug="snapshot_unfit", title="Snapshot of another model"):
    """The snapshot was taken when the session had another model."""


class NotKept(Conflict, slug="not_kept", title="Not kept"):
    """The session keeps no history, no log or no events, or learns nothing, and the request needs it."""


@dataclass(eq=False, repr=False, kw_only=True)
class OutOfReach(Conflict, slug="out_of_reach", title="Out of reach"):
    """The step cannot be reached from the kept states and the log.

    `reachable` are the steps of the present epoch that can be reached, as [first, last].
    """

    members: ClassVar[tuple[str, ...]] = ("reachable",)
    reachable: Sequence[tuple[int, int]] | None = None


@dataclass(eq=False, repr=False, kw_only=True)
class ModelUnfit(Conflict, slug="model_unfit", title="Model does not fit"):
    """The version cannot run the session: it has different inputs, states or outputs."""

    members: ClassVar[tuple[str, ...]] = ("expected", "actual")
    expected: str | None = None
    actual: str | None = None
