"""Answers about the history and the log of a session, and requests to rewind it."""

from typing import Self

import numpy as np
from pydantic import ConfigDict, Field

from cellar.api.schemas.names import Answer, PositionText
from cellar.api.schemas.numbers import RowsOfSteps
from cellar.api.schemas.session.sessions import Placed
from cellar.ports import LogEntry, SessionMeta
from cellar.sessions.history import history as past
from cellar.sessions.history.history import RewindTarget, inputs_of
from cellar.sessions.values.position import MAX_STEP, parse_position


class KeptAnswer(Answer):
    """An earlier state that is kept."""

    step: int
    position: str


class HistoryAnswer(Answer):
    """The states to which a session can be rewound."""

    session: str
    step: int
    position: str
    states: list[KeptAnswer] = Field(description="Earlier states that are kept, oldest first, also of earlier epochs.")
    reachable: list[tuple[int, int]] = Field(
        description="Steps of the present epoch that a rewind can reach, as [first, last]: their state is kept,"
        " or follows from a kept state and logged inputs."
    )

    @classmethod
    def of(cls, session: str, history: past.HistoryAnswer) -> Self:
        """Return the answer for a session's history."""
        return cls(
            session=session,
            step=history.position.step,
            position=str(history.position),
            states=[KeptAnswer(step=kept.position.step, position=str(kept.position)) for kept in history.states],
            reachable=list(history.reachable),
        )


class RewindRequest(Placed):
    """The state to rewind to: one of `step`, `steps` and `to`. `position` is the present position of the session."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    step: int | None = Field(None, ge=0, le=MAX_STEP, description="A step of the present epoch.")
    steps: int | None = Field(None, ge=1, le=MAX_STEP, description="How many steps to go back.")
    to: PositionText | None = Field(None, description="An earlier position, of any epoch.")

    def back(self) -> RewindTarget:
        """Return the state to rewind to. Raise InvalidInput."""
        to = None if self.to is None else parse_position(self.to, pointer="/to")
        return RewindTarget(self.step, self.steps, to)


class LogEntryAnswer(Answer):
    """One change of a session, as it is logged."""

    change: int = Field(description="Number of the change: 0 is the creation of the session.")
    kind: str = Field(description="`step`, `sequence`, or another kind of change.")
    steps: int
    step: int = Field(description="Steps of the epoch after the change.")
    position: str = Field(description="Position after the change.")
    inputs: RowsOfSteps | None = Field(
        None, description="Inputs of a step or sequence: for each step an array with an array for each row."
    )
    reset: list[bool] | None = Field(None, description="Rows that were reset by the change, or before its first step.")
    model: str | None = Field(
        None, description="The model version of the session from this change on, if the change set it."
    )

    @classmethod
    def of(cls, entry: LogEntry, meta: SessionMeta) -> Self:
        """Return the answer for an entry of the log of a session."""
        inputs = inputs_of(entry, meta.batch_size)[0] if entry.steps else None
        return cls(
            change=entry.revision,
            kind=entry.kind,
            steps=entry.steps,
            step=entry.after.step,
            position=str(entry.after),
            inputs=None if inputs is None else inputs.astype(np.float64).tolist(),
            reset=[bool(row) for row in entry.reset] if entry.reset else None,
            model=entry.model,
        )


class LogAnswer(Answer):
    """A part of a session's log, oldest first."""

    entries: list[LogEntryAnswer]
    after: int | None = Field(description="Send it to read the next page; null at the end.")

    @classmethod
    def of(cls, log: past.LogAnswer) -> Self:
        """Return the answer for a part of a log."""
        return cls(entries=[LogEntryAnswer.of(entry, log.meta) for entry in log.entries], after=log.after)
