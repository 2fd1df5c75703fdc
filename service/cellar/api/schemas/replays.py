"""Other versions for a session."""

from typing import Literal, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, ModelRef, Name, PositionText
from cellar.api.schemas.sessions import Placed
from cellar.nn.spec.network import Frozen
from cellar.ports import Position
from cellar.sessions.history import output_diff as differences
from cellar.sessions.history import replay_migrate
from cellar.sessions.values.position import parse_position


class ReplayRequest(Frozen):
    """A version on which a session's log is run."""

    model: ModelRef
    session: Name | None = Field(
        None, description="A new session to make of it. Absent: the outputs are only compared with those of its own."
    )
    since: PositionText | None = Field(
        None,
        description="The position that a creation, a reset, or a state that was given led to, and from which the log is"
        " run. Default: the last one.",
    )

    def begin(self) -> Position | None:
        """Return where the log is run from. Raise InvalidInput."""
        return None if self.since is None else parse_position(self.since, pointer="/since")


class DifferenceAnswer(Answer):
    """The largest absolute difference between the outputs of one change."""

    position: str = Field(description="After the change.")
    largest: float


class DifferencesAnswer(Answer):
    """Absolute differences between the outputs of two versions."""

    steps: int = Field(description="That were compared.")
    largest: float
    mean: float
    last: list[DifferenceAnswer] = Field(description="Of the last changes, oldest first.")

    @classmethod
    def of(cls, found: differences.Differences) -> Self:
        """Return the answer for differences of the runtime."""
        last = [DifferenceAnswer(position=each.after, largest=each.largest) for each in found.last]
        return cls(steps=found.steps, largest=found.largest, mean=found.mean, last=last)


class ReplayAnswer(Answer):
    """What has come of a log on another version."""

    model: str
    session: str | None = Field(description="The new session, in the state to which the log has led.")
    began: str = Field(description="Position from which the log was run.")
    ended: str = Field(description="Position up to which it was.")
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
    """A version with which the session goes on."""

    model: ModelRef
    how: Literal["carry", "replay", "auto"] = Field(
        "auto",
        description="`carry` the state as it is, which needs the same layers, states and sizes; `replay` the log; or"
        " `auto`: the first if it can be, else the second.",
    )
