"""Requests and answers about earlier states of a session, its log, replays on other versions and shadows."""

from typing import Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field

from cellar.api.schemas.names import Answer, ModelRef, Name, PositionText
from cellar.api.schemas.numbers import RowsOfSteps
from cellar.api.schemas.session.sessions import Placed
from cellar.nn.spec.base import Frozen
from cellar.ports import ROW_LEFT_OUT, ROW_RESET, Floats, LogEntry, Position, RowFlags, SessionMeta
from cellar.sessions.history import history as past
from cellar.sessions.history import replay_migrate, shadows
from cellar.sessions.history.history import RewindTarget, inputs_of
from cellar.sessions.history.log_replay import Differences
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
        None,
        description="Inputs of a step or sequence: for each step an array with an array for each row, whose numbers"
        " are null if the row was left out.",
    )
    reset: list[bool] | list[list[bool]] | None = Field(
        None,
        description="Rows that were reset by the change, or before its first step; an array for each step if rows were"
        " reset before later ones.",
    )
    model: str | None = Field(
        None, description="The model version of the session from this change on, if the change set it."
    )

    @classmethod
    def of(cls, entry: LogEntry, meta: SessionMeta) -> Self:
        """Return the answer for an entry of the log of a session."""
        inputs, flags = inputs_of(entry, meta.batch_size) if entry.steps else (None, None)
        return cls(
            change=entry.revision,
            kind=entry.kind,
            steps=entry.steps,
            step=entry.after.step,
            position=str(entry.after),
            inputs=None if inputs is None else _listed(inputs, flags),
            reset=_resets_of(entry, flags),
            model=entry.model,
        )


def _listed(inputs: Floats, flags: RowFlags | None) -> list[Any]:
    """Return inputs with null for the numbers of rows that were left out."""
    found: list[Any] = inputs.astype(np.float64).tolist()
    for step, row in () if flags is None else np.argwhere(flags == ROW_LEFT_OUT).tolist():
        found[step][row] = [None] * inputs.shape[2]
    return found


def _resets_of(entry: LogEntry, flags: RowFlags | None) -> list[bool] | list[list[bool]] | None:
    if flags is None:  # of a change that is not a step
        return [bool(row) for row in entry.row_flags] if entry.row_flags else None
    resets = np.zeros((entry.steps, flags.shape[1]), np.bool_)
    resets[: len(flags)] = flags == ROW_RESET
    if resets[1:].any():
        return [list(row) for row in resets.tolist()]
    return list(resets[0].tolist()) if resets[0].any() else None


class LogAnswer(Answer):
    """A part of a session's log, oldest first."""

    entries: list[LogEntryAnswer]
    after: int | None = Field(description="Send it to read the next page; null at the end.")

    @classmethod
    def of(cls, log: past.LogAnswer) -> Self:
        """Return the answer for a part of a log."""
        return cls(entries=[LogEntryAnswer.of(entry, log.meta) for entry in log.entries], after=log.after)


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
    def of(cls, found: Differences) -> Self:
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
        return cls.read(
            shadow,
            session=session,
            behind=found.behind,
            mean=shadow.total / shadow.numbers if shadow.numbers else 0.0,
            last=[DifferenceAnswer(position=position, largest=largest) for position, largest in shadow.last],
        )
