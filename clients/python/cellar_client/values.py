"""The values that the client returns beside the documents of the service."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a step or a sequence."""

    output: Any
    """Output of a step, (F) or (B, F), or outputs of a sequence, (T, F) or (T, B, F), as float32; a DataFrame if the
    inputs were one. None if the request was applied before and its output is no longer kept."""
    step: int
    """Number of steps of the session's epoch after the request; 0 if `position` is empty."""
    position: str
    """Position of the session after the request; empty if it was applied before and is too old to be repeated."""
    replayed: bool = False
    """Whether the request was applied before, and this is its answer repeated."""
    number: int = 0
    """Number of the input since the session or stream was opened, or since its state file was begun; from 1."""
    version: int = 0
    """Number of the version that ran the request, if the session follows an alias and the version is known; else 0."""
    score: Any = None
    """If it was asked for, how surprising the reading of each target was, nested as the output, NaN for no score. None
    if it was not kept."""


def version_of(model: str | None) -> int:
    """Return the number of a version, `co2@3`, 0 if there is none."""
    return 0 if model is None else int(model.rpartition("@")[2])


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a session, or the end of it, as a watcher receives it."""

    kind: str
    """`create`, `fork`, `replay`, `step`, `sequence`, `reset`, `write`, `restore`, `rewind`, `migrate`, `settings`
    or `follow`; `gap` if changes are missing; `expired` or `deleted` at the end."""
    id: str = ""
    """The change. `Session.events(after=...)` continues behind it."""
    step: int = 0
    """Number of steps of the epoch after the change."""
    position: str = ""
    """Position after the change."""
    steps: int = 0
    """Number of steps of the change."""
    outputs: NDArray[np.float32] | None = None
    """Output of each step and row, (T, B, F), NaN for a row that took no part; None if there are none, or if they were
    too large to keep."""
    missed: int | None = None
    """Number of the changes in a gap; None if it is not known."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A change in the log of a session."""

    change: int
    """Number of the change; 0 is the creation."""
    kind: str
    step: int
    """Number of steps of the epoch after the change."""
    position: str
    """Position after the change."""
    steps: int
    """Number of steps of the change."""
    inputs: NDArray[np.float32] | None
    """(T, B, F), NaN for a row that took no part; None if the change has no steps."""
    reset: list[bool] | list[list[bool]] | None
    """The rows that were reset before the first step, or before each step."""
    model: str | None
    """The version to which a migration has moved the session."""
