"""Requests to run a session's log on another version or to migrate it, and their answers."""

from typing import Literal, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, ModelRef, Name, PositionText
from cellar.api.schemas.session.sessions import Placed
from cellar.nn.spec.base import Frozen
from cellar.ports import Position
from cellar.sessions.history import output_diff as differences
from cellar.sessions.history import replay_migrate
from cellar.sessions.values.position import parse_position


class ReplayRequest(Frozen):
    """A version on which a session's log is run."""

    model: ModelRef
    session: Name | None = Field(
        None,
        description="Name of a session to create in the resulting state. Absent: the outputs are only compared"
        " with those of the session's own version.",
    )
    since: PositionText | None = Field(
        None,
        description="Position of the creation, reset or given state from which the log is run. Default: the last one.",
    )

    def begin(self) -> Position | None:
        """Return the position from which the log is run. Raise InvalidInput."""
        return None if self.since is None else parse_position(self.since, pointer="/since")


class DifferenceAnswer(Answer):
    """The largest absolute difference between the outputs of one change."""

    position: str = Field(description="Position after the change.")
    largest: float


class DifferencesAnswer(Answer):
    """Absolute differences between the outputs of two versions."""

    steps: int = Field(description="Number of steps that were compared.")
    largest: float
    mean: float
    last: list[DifferenceAnswer] = Field(description="Differences of the last changes, oldest first.")

    @classmethod
    def of(cls, found: differences.Differences) -> Self:
        """Return the answer for differences of the runtime."""
        last = [DifferenceAnswer(position=each.after, largest=each.largest) for each in found.last]
        return cls(steps=found.steps, largest=found.largest, mean=found.mean, last=last)


class ReplayAnswer(Answer):
    """The result of running a log on another version."""

    model: str
    session: str | None = Field(description="The new session, in the state to which the log leads.")
    began: str = Field(description="Position from which the log was run.")
    ended: str = Field(description="Position up to which the log was run.")
    steps: int
    differences: DifferencesAnswer | None

    @classmethod
    def of(cls, found: replay_migrate.ReplayAnswer) -> Self:
        """Return the answer for a replay of the runtime."""
        return cls(
            model=found.model,
            session=None if found.session is None else found.session.session,
            began=str(found.began),
            ended=str(found.ended),
            steps=found.steps,
            differences=None if found.differences is None else DifferencesAnswer.of(found.differences),
        )


class MigrateRequest(Placed):
    """A version with which the session continues."""

    model: ModelRef
    how: Literal["carry", "replay", "auto"] = Field(
        "auto",
        description="carry: keep the state, which needs the same layers, states and sizes. replay: run the log."
        " auto: carry if possible, else replay.",
    )
