"""The command of a client to make steps, and their result, independent of the wire format.

They are made for every step, so they are not frozen, and have an `__init__` of their own, as changes have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellar.errors import CellarError
from cellar.memory.request_memory import Reservation
from cellar.ports.sessions.changes import APPEND, Identity, Position
from cellar.ports.sessions.record import SessionKey

Floats = NDArray[np.float32]

Mask = NDArray[np.bool_]
"""A mask of rows, (rows,)."""

Reset = bool | Sequence[bool] | Sequence[Sequence[bool]]
"""The rows that begin from the initial state: all, none, or one flag for each row, before the first step; or such flags
for each step, of which one alone stands for all rows."""

RowFlags = NDArray[np.uint8]
"""For each row of the first n steps, (n, rows), the sum of ROW_RESET and ROW_LEFT_OUT. Later steps have no flags."""

ROW_RESET, ROW_LEFT_OUT = 1, 2
"""The row is put into the initial state before the step; it takes no part in the step."""

StepKind = Literal["step", "sequence", "batch"]
"""One step; several that are applied all or not at all; or several single steps that came together."""

ROW, ROWS = "F", "BF"
"""The layouts of a single step: the numbers of its one row, or rows of them."""


@dataclass(slots=True)
class RowChoice:
    """The rows that take part in the steps, if not all rows take part in all of them."""

    numbers: Sequence[int] | None = None
    """The numbers of the rows that the inputs have; None: all rows of the session."""
    lengths: Sequence[int] | None = None
    """In how many steps each of these rows takes part; the rest of the inputs is padding."""
    flags: RowFlags | None = None
    """Rows that are left out of single steps, or are also reset, (T, rows)."""


Row = Mapping[str, Any] | Sequence[Any] | None
"""A row of readings as a client wrote it: values by the names of columns, or in their order, with null for a missing
one. None: the row takes no part in the step."""


@dataclass(slots=True)
class Readings:
    """Inputs of steps that only the model of the session can read: by name, or with missing readings."""

    rows: Sequence[Sequence[Row]] | None
    """The rows of each step; None: they are the inputs of the command, in which NaN is a missing reading."""
    refusal: CellarError = field(compare=False)
    """The error if the model takes numbers alone. Its pointer begins at the inputs."""


@dataclass(slots=True, init=False)
class StepCommand:
    """Steps of one session that a client asks for. Every decoder returns it, and `Sessions.submit` takes it."""

    session: SessionKey
    inputs: Floats
    """(T, rows, in_size)"""
    identity: Identity
    """How the request is recognised. Steps of a batch are numbered from its `step`, or append."""
    reset: Reset
    """The rows that begin from the initial state."""
    deadline_s: float | None
    """In how many seconds the steps must begin to run, from `came_s` on; None if they may wait."""
    kind: StepKind
    layout: str
    """The axes of the inputs as the client wrote them: T steps, B rows, F features. The outputs get the same."""
    pointer: str | None
    """JSON pointer to the inputs in the request; None if they are the body, and all else is in the query."""
    is_finite: bool
    """Whether the inputs are known to be finite, C-contiguous float32."""
    came_s: float | None
    """When the request came, by the monotonic clock; None: now."""
    rows: RowChoice | None
    """The rows that take part; None: all."""
    memory: Reservation | None
    """The memory that large inputs and outputs take until this object is dropped; None for those of a usual size."""
    traceparent: str | None
    """The trace that the request is part of (W3C Trace Context); None without one, or while traces are off."""
    readings: Readings | None
    """Inputs that the model has to read; with rows, `inputs` are zeros until then. None: plain numbers."""
    scored: bool
    """Whether the answer has scores: how surprising the readings were."""

    def __init__(
        self,
        session: SessionKey,
        inputs: Floats,
        identity: Identity = APPEND,
        reset: Reset = False,
        deadline_s: float | None = None,
        kind: StepKind = "step",
        layout: str = "TBF",
        pointer: str | None = "",
        is_finite: bool = False,
        came_s: float | None = None,
        rows: RowChoice | None = None,
        memory: Reservation | None = None,
        traceparent: str | None = None,
        readings: Readings | None = None,
        scored: bool = False,
    ) -> None:
        self.session, self.inputs, self.identity, self.reset = session, inputs, identity, reset
        self.deadline_s, self.kind, self.layout, self.pointer = deadline_s, kind, layout, pointer
        self.is_finite, self.came_s, self.rows, self.memory = is_finite, came_s, rows, memory
        self.traceparent, self.readings, self.scored = traceparent, readings, scored


@dataclass(slots=True, init=False)
class StepResult:
    """The result of steps. Every encoder reads it."""

    command: StepCommand
    """The command, which also determines how the answer is encoded."""
    position: Position
    """Position of the session after the steps."""
    steps: int
    """Number of steps: T of the outputs."""
    output: bytes | None
    """Float32, little endian, (T, rows, out_size), with NaN for a row that took no part in a step; None in a replay
    whose output was too large to be kept."""
    replayed: bool
    """Whether the same request had been applied before."""
    model: str | None
    """The version that ran the steps, `name@3`, if the session follows an alias and the version is known."""
    scores: bytes | None
    """Float32, little endian, (T, rows, targets), NaN for no score; None if they were not asked for or not kept."""

    def __init__(
        self,
        command: StepCommand,
        position: Position,
        steps: int,
        output: bytes | None,
        replayed: bool,
        model: str | None = None,
        scores: bytes | None = None,
    ) -> None:
        self.command, self.position, self.steps, self.output = command, position, steps, output
        self.replayed, self.model, self.scores = replayed, model, scores

    @property
    def version(self) -> int:
        """The number of that version, 0 without one: what answers in frames have of it."""
        return 0 if self.model is None else int(self.model.rpartition("@")[2])

    @property
    def outputs(self) -> Floats | None:
        """The outputs as an array (T, rows, out_size)."""
        if self.output is None:
            return None
        return np.frombuffer(self.output, "<f4").reshape(self.steps, self.command.inputs.shape[1], -1)
