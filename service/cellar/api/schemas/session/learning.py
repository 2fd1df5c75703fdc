"""Requests and answers for sessions that learn."""

import math
from typing import Self

from pydantic import Field

from cellar.api.schemas.names import Answer
from cellar.api.schemas.numbers import TargetsOfSteps
from cellar.api.schemas.session.sessions import Placed
from cellar.nn.learning.spec import Learning, LearningSpec
from cellar.sessions.service.learning import LearningAnswer as Found

MAX_STEP = 2**53


class TargetsRequest(Placed):
    """The targets of consecutive steps of a session."""

    step: int = Field(ge=0, le=MAX_STEP, description="The first step; the first of an epoch is 0.")
    targets: TargetsOfSteps = Field(description="For each step what its output should have been.")
    epoch: str | None = Field(
        None,
        pattern="^[0-9a-f]{16}$",
        description="The epoch of the steps, which their positions begin with; the present one if absent.",
    )


class LearningAnswer(Answer):
    """The weights that a session has learnt, and its errors."""

    session: str
    model: str
    step: int
    position: str
    learning: LearningSpec
    updates: int = Field(description="Targets that were learnt.")
    waiting: int = Field(description="Steps of the window that have no target yet.")
    first: int | None = Field(description="The first step for which a target may come; null if there is none.")
    loss: float | None = Field(
        description="Mean squared error of the answers that the session gave, in squared units of the outputs, older"
        " ones weighted down by `forgetting`; null before the first target."
    )
    base_loss: float | None = Field(description="The same of what the version alone would have answered.")
    delta_norm: float = Field(description="How far the weights are from those of the version: the root of the squares.")

    @classmethod
    def of(cls, session: str, found: Found) -> Self:
        """Return the answer for what a session has learnt."""
        learnt, position = found.learnt, found.position
        base_loss, loss = learnt.losses() or (None, None)
        reach = min(learnt.filled, position.step)
        return cls(
            session=session,
            model=found.model,
            step=position.step,
            position=str(position),
            learning=Learning.spec_of(learnt.text),
            updates=learnt.updates,
            waiting=sum(learnt.target(ago) is None for ago in range(1, reach + 1)),
            first=position.step - reach if reach else None,
            loss=loss,
            base_loss=base_loss,
            delta_norm=math.sqrt(math.fsum(each * each for each in learnt.delta.reshape(-1).tolist())),
        )
