"""Requests to take and restore snapshots of sessions, and their answers."""

from datetime import datetime
from typing import Self

from pydantic import Field

from cellar.api.schemas.names import Answer, Name, time_of
from cellar.api.schemas.session.sessions import Placed
from cellar.ports import Snapshot


class SnapshotRequest(Placed):
    """A snapshot to take."""

    snapshot: Name = Field(description="Name of the snapshot.")


class RestoreRequest(Placed):
    """A snapshot to restore."""

    snapshot: Name


class SnapshotAnswer(Answer):
    """A snapshot, with the position and the model that the session had."""

    snapshot: str
    session: str
    model: str = Field(description="The model version of the session at the snapshot, `co2@3`.")
    model_digest: str
    kernel_rev: int = Field(description="Revision of the arithmetic of the session at the snapshot.")
    batch_size: int
    step: int
    position: str
    taken: datetime

    @classmethod
    def of(cls, session: str, snapshot: Snapshot) -> Self:
        """Return the answer for a snapshot of a session."""
        meta = snapshot.meta
        return cls(
            snapshot=snapshot.name,
            session=session,
            model=meta.model,
            model_digest=meta.model_digest,
            kernel_rev=meta.kernel_rev,
            batch_size=meta.batch_size,
            step=snapshot.position.step,
            position=str(snapshot.position),
            taken=time_of(snapshot.taken_s),
        )


class SnapshotsAnswer(Answer):
    """All snapshots of a session, by name."""

    snapshots: list[SnapshotAnswer]
