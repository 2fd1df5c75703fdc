"""Requests to take and restore snapshots of sessions and to fork sessions, and their answers."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from cellar.api.schemas.names import Answer, Name, SnapshotName, time_of
from cellar.api.schemas.session.sessions import MAX_TTL_S, Placed
from cellar.ports import Snapshot
from cellar.sessions.operations import forks


class SnapshotRequest(Placed):
    """A snapshot to take."""

    snapshot: SnapshotName = Field(description="Name of the snapshot.")


class RestoreRequest(Placed):
    """A snapshot to restore."""

    snapshot: SnapshotName


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
        position = snapshot.position
        placed = {"session": session, "step": position.step, "position": str(position)}
        return cls.read(snapshot.meta, snapshot=snapshot.name, taken=time_of(snapshot.taken_s), **placed)


class SnapshotsAnswer(Answer):
    """All snapshots of a session, by name."""

    snapshots: list[SnapshotAnswer]


Number = Annotated[int, Field(ge=1, le=forks.MAX_CHILDREN)]

Names = Annotated[list[Name], Field(min_length=1, max_length=forks.MAX_CHILDREN, fail_fast=True)]


class ForkRequest(Placed):
    """Children to create: a number of them, or those with these names."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    count: Number | None = Field(None, description="Number of children with generated names.")
    names: Names | None = Field(None, description="Names of the children.")
    ttl_s: int | None = Field(
        None,
        ge=1,
        le=MAX_TTL_S,
        description="Lifetime of the children after the last change, seconds. Default: the parent's.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.count is None) == (self.names is None):
            raise ValueError("expected either `count` or `names`")
        if self.names is not None and len({*self.names}) < len(self.names):
            raise ValueError("expected `names` that differ")
        return self

    @property
    def children(self) -> int | list[str]:
        """Return the number of children, or their names."""
        if self.names is not None:
            return self.names
        assert self.count is not None
        return self.count


class ChildAnswer(Answer):
    """A child with its position, or the problem that prevented it."""

    session: str
    step: int | None = Field(description="0, or null if there is a problem.")
    position: str | None = Field(description="Position of the child, or null if there is a problem.")
    problem: dict[str, Any] | None = Field(description="A problem document, or null if the child was created.")

    @classmethod
    def of(cls, child: forks.Child, problem: dict[str, Any] | None) -> Self:
        """Return the answer for a child, with the document of its problem if it has one."""
        if child.position is None:
            return cls(session=child.session, step=None, position=None, problem=problem)
        step = child.position.step
        return cls(session=child.session, step=step, position=str(child.position), problem=None)


class ForkAnswer(Answer):
    """The result for every child, in the order of the request."""

    position: str = Field(description="Position of the parent at the fork.")
    children: list[ChildAnswer]
