"""The results of operations on sessions, independent of HTTP."""

from dataclasses import dataclass

import numpy as np

from cellar.ports import CommittedChange, Floats, Position, SessionKey, SessionMeta, split_scores


@dataclass(slots=True)
class SessionAnswer:
    """A session without its state. Like the values of steps it is not frozen, and never changed."""

    key: SessionKey
    meta: SessionMeta
    position: Position
    expires_s: float
    """When it expires if it is not changed and not pinned; seconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class WriterAnswer:
    """The number of a writer's last request, 0 if the session does not know it, and the position of the session."""

    seq: int
    position: Position


@dataclass(slots=True)
class CreateAnswer:
    """The session of that name, and whether this request created it. Never changed."""

    session: SessionAnswer
    created: bool


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """The session after a change of its settings, and whether the request was a repetition."""

    session: SessionAnswer
    replayed: bool


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """A page of sessions, and the cursor of the next page, "" on the last one."""

    sessions: tuple[SessionAnswer, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """The position of the session after a change that is not a step."""

    position: Position
    replayed: bool


@dataclass(frozen=True, slots=True)
class StatePart:
    """One named state of one layer, (B, size)."""

    layer: int
    name: str
    cell: str
    """The name of the cell of the layer."""
    values: Floats


@dataclass(frozen=True, slots=True)
class StateAnswer:
    """The whole state at `position`, in the order of the layers."""

    model: str
    batch_size: int
    position: Position
    parts: tuple[StatePart, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """A change whose answer a client may have missed. `outputs` is (steps, B, out_size).

    It is None if the output was too large to be stored, and for a change that is not a step.
    """

    position: Position
    steps: int
    outputs: Floats | None
    seq: int | None
    """The number of the request, if it was sent by the writer of the resume request."""
    model: str | None
    """The version that ran it, if the session follows an alias and the version is known."""


@dataclass(frozen=True, slots=True)
class SinceAnswer:
    """The position of a session, and the changes since a given position."""

    position: Position
    missed: tuple[Missed, ...]


def outputs_of(change: CommittedChange, rows: int) -> Floats | None:
    """Return the outputs (steps, rows, features) of a change, None if they are not stored."""
    if change.output is None or not change.steps:
        return None
    return np.frombuffer(split_scores(change.output)[0], dtype="<f4").reshape(change.steps, rows, -1)
