"""Errors of requests whose position or step does not match the session."""

from dataclasses import dataclass
from typing import ClassVar

from cellar.errors.resources import Conflict


@dataclass(eq=False, repr=False, kw_only=True)
class PositionConflict(Conflict, slug="position_conflict", title="Position conflict"):
    """The session is not at the position that the request names."""

    members: ClassVar[tuple[str, ...]] = ("position",)
    position: str


class Regressed(PositionConflict, slug="regressed", title="Ahead of the session"):
    """The request is ahead of the session: an earlier step has not arrived yet, or the store has lost it."""


class StepTaken(PositionConflict, slug="step_taken", title="Step taken"):
    """The step was committed with another body."""


class EpochChanged(PositionConflict, slug="epoch_changed", title="Epoch changed"):
    """The session was reset, written, restored, rewound or migrated since that position."""


class Diverged(PositionConflict, slug="diverged", title="History diverged"):
    """The step number matches, and the history before it is another one."""


class ReplayExpired(PositionConflict, slug="replay_expired", title="Replay expired"):
    """The step was applied, and its answer is older than the replay window."""


class WriterUnknown(PositionConflict, slug="writer_unknown", title="Unknown writer"):
    """The session does not know the writer, or has forgotten it, and the request is not its first."""


class SessionMoved(PositionConflict, slug="session_moved", title="Session changed during the sequence"):
    """The session was changed while a long sequence ran that was to be applied as a whole; send all of it again."""


@dataclass(eq=False, repr=False, kw_only=True)
class Overlap(PositionConflict, slug="overlap", title="Overlaps a committed sequence"):
    """The request overlaps a committed sequence. `boundaries`: the first step of the sequence and the step after it."""

    members = (*PositionConflict.members, "boundaries")
    boundaries: tuple[int, int]
