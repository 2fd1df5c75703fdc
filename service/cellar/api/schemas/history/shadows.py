"""Requests for shadows, which step a second version with the inputs of a session, and their answers."""

from typing import Self

from pydantic import Field

from cellar.api.schemas.history.replays import DifferenceAnswer
from cellar.api.schemas.names import Answer, ModelRef
from cellar.nn.spec.base import Frozen
from cellar.sessions.history import shadows


class ShadowRequest(Frozen):
    """The version of the shadow."""

    model: ModelRef


class ShadowAnswer(Answer):
    """The progress of a shadow, and the absolute differences of its outputs from those of the session."""

    session: str
    model: str
    began: str = Field(description="Position of the session when the shadow began.")
    position: str = Field(description="Position up to which the session has been followed.")
    behind: int = Field(description="Number of changes that the shadow has still to follow.")
    missed: int = Field(description="Number of changes that the log had lost before they were followed.")
    steps: int = Field(description="Number of steps that were compared.")
    largest: float
    mean: float
    last: list[DifferenceAnswer] = Field(description="Differences of the last changes, oldest first.")
    stopped: str | None = Field(description="Why the shadow cannot follow any further; null while it follows.")

    @classmethod
    def of(cls, session: str, found: shadows.ShadowAnswer) -> Self:
        """Return the answer for a shadow of the runtime."""
        shadow = found.shadow
        return cls(
            session=session,
            model=shadow.model,
            began=shadow.began,
            position=shadow.position,
            behind=found.behind,
            missed=shadow.missed,
            steps=shadow.steps,
            largest=shadow.largest,
            mean=shadow.total / shadow.numbers if shadow.numbers else 0.0,
            last=[DifferenceAnswer(position=position, largest=largest) for position, largest in shadow.last],
            stopped=shadow.stopped,
        )
