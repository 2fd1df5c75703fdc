"""Requests and answers for steps and sequences of a session."""

from pydantic import Field

from cellar.api.schemas.names import (
    COUNTS_PATTERN,
    IDEMPOTENCY_KEY_PATTERN,
    MOST_TIMEOUT_MS,
    RAN_BY,
    RESET_PATTERN,
    Answer,
    Layout,
    Name,
    PositionText,
)
from cellar.api.schemas.numbers import (
    Counts,
    Flags,
    ResetOfSteps,
    SequenceInputs,
    SequenceOutputs,
    StepInput,
    StepOutput,
)
from cellar.nn.spec.base import Frozen
from cellar.ports import MAX_WRITERS, Identity, RowChoice, RowFlags
from cellar.sessions.values.position import MAX_STEP, parse_position

LAYOUT = "Axis letters in any order: T steps, B rows, F features. Default: `TF` or `TBF`, by the depth."
POSITION = "The position of the last answer, unchanged. Orders requests, and detects repetitions and another history."
WRITER = (
    f"Name of one of several clients that step the session; requires `seq`. The last {MAX_WRITERS} writers are known."
)
SEQ = "The writer's number of this request: 1, 2, 3, ... Request 1 of an unknown or forgotten writer counts as new."
ROWS = (
    "Numbers, from 0, of the rows that take part. The inputs and outputs have these rows alone, in this order; the"
    " others stay as they are. Default: all."
)
LENGTHS = (
    "The number of steps of each row of the inputs. The rest is padding: it is not read, it changes no state, and its"
    " outputs are null, or NaN in npy. Default: all steps."
)

SCORE = (
    "Whether the answer has scores: how far each target's reading was from the forecast for it, in half widths of the"
    " interval of 80%. The model has a forecast layer with intervals."
)
SCORES = (
    "If asked for, a number for each target, nested as the output; null for one without a reading, or before the first"
    " forecast. null as a whole if the request is repeated and was made without `score`, or its output is not kept."
)


class Identified(Frozen):
    """Steps with an identity, by which a repeated request is recognised."""

    position: PositionText | None = Field(None, description=POSITION)
    step: int | None = Field(
        None,
        ge=0,
        le=MAX_STEP,
        description="Number of steps of the epoch before this request. Orders requests and detects repetitions.",
    )
    writer: Name | None = Field(None, description=WRITER)
    seq: int | None = Field(None, ge=1, le=MAX_STEP, description=SEQ)

    def identity(self, key: str | None) -> Identity:
        """Return the identity of the request; `key` is its Idempotency-Key. Raise InvalidInput."""
        position = None if self.position is None else parse_position(self.position)
        return Identity(position, self.step, key, self.writer, self.seq)


class Advance(Identified):
    """Steps, before which rows may be reset, and of which rows may be left out."""

    reset: ResetOfSteps = False
    rows: Counts | None = Field(None, description=ROWS)
    score: bool = Field(False, description=SCORE)

    def choice(self, flags: RowFlags | None) -> RowChoice | None:
        """Return which rows take part, None if all do; `flags` are of rows that the inputs leave out."""
        return None if self.rows is None and flags is None else RowChoice(self.rows, None, flags)


class StepRequest(Advance):
    """One time step."""

    reset: bool | Flags = Field(
        False,
        description="Put rows into the initial state before the step, as a part of it: `true` for all rows, or a"
        " boolean for each. The count of steps continues.",
    )
    input: StepInput = Field(
        description="Numbers, one for each feature; if the session has several rows, an array of such arrays, with null"
        " for a row that is left out. A model with readings also takes objects by the names of its columns in place of"
        " arrays, and null for a missing reading.",
        examples=[[0.1, 0.2, 0.3]],
    )


class SequenceRequest(Advance):
    """Several time steps, applied all or not at all."""

    inputs: SequenceInputs = Field(
        description="Nested arrays of numbers, with an axis for each letter of the layout; null for a row that is left"
        " out of a step. Rows of readings as in `input`."
    )
    layout: Layout | None = Field(None, description=LAYOUT)
    reset: ResetOfSteps = Field(
        False,
        description="Put rows into the initial state, as a part of the steps: before the first step `true` for all rows"
        " or a boolean for each, or an array for each step, with a boolean for each row or one for all. The count of"
        " steps continues.",
    )
    lengths: Counts | None = Field(None, description=LENGTHS)

    def choice(self, flags: RowFlags | None) -> RowChoice | None:
        """Return which rows take part in which steps, None if all do in all."""
        if self.lengths is None:
            return super().choice(flags)
        return RowChoice(self.rows, self.lengths, flags)


class InPlaceOfHeaders(Frozen):
    """The members of a step that is one of many in a request or on a stream, for which an HTTP request has headers."""

    key: str | None = Field(
        None, pattern=IDEMPOTENCY_KEY_PATTERN, description="As the header Idempotency-Key of a single step."
    )
    timeout_ms: int | None = Field(
        None, ge=1, le=MOST_TIMEOUT_MS, description="As the header Cellar-Timeout-Ms of a single step."
    )

    @property
    def deadline_s(self) -> float | None:
        """Return the seconds within which the step must begin to run."""
        return None if self.timeout_ms is None else self.timeout_ms / 1000


class Line(InPlaceOfHeaders):
    """The members of a line besides those of a step."""

    session: Name


class StepLine(Line, StepRequest):
    """One time step of one session."""


class SequenceLine(Line, SequenceRequest):
    """Several time steps of one session, applied all or not at all."""


class StepQuery(Identified):
    """The query of a step in npy."""

    reset: str = Field(
        "false",
        pattern=RESET_PATTERN,
        max_length=2**16,
        description="Rows to put into the initial state: `true` for all, or a digit for each row (`01` for the"
        " second); of a sequence also such digits for each step, with a comma between (`00,01`).",
    )
    rows: str | None = Field(
        None, pattern=COUNTS_PATTERN, max_length=2**16, description=f"{ROWS} With a comma between (`0,2`)."
    )

    @property
    def rows_to_reset(self) -> bool | list[bool] | list[list[bool]]:
        """Return `reset` as JSON has it."""
        if self.reset in ("true", "false"):
            return self.reset == "true"
        steps = [[digit == "1" for digit in digits] for digits in self.reset.split(",")]
        return steps if len(steps) > 1 else steps[0]

    @property
    def choice(self) -> RowChoice | None:
        """Which rows take part in which steps, None if all do in all."""
        lengths: str | None = getattr(self, "lengths", None)
        return None if self.rows is None and lengths is None else RowChoice(_counts(self.rows), _counts(lengths))


class Lengths(Frozen):
    """The steps of each row in the query of a sequence."""

    lengths: str | None = Field(
        None, pattern=COUNTS_PATTERN, max_length=2**16, description=f"{LENGTHS} With a comma between (`5,3`)."
    )


class SequenceQuery(Lengths, StepQuery):
    """The query of a sequence in npy."""

    layout: Layout | None = Field(None, description=LAYOUT)


def _counts(text: str | None) -> list[int] | None:
    return None if text is None else [int(number) for number in text.split(",")]


class StepAnswer(Answer):
    """The output of one step, and the position of the session after it."""

    output: StepOutput | None = Field(
        description="Numbers, nested as the input. null if the request is repeated and its output was too large"
        " to keep."
    )
    step: int
    position: str
    model: str | None = Field(None, description=RAN_BY)
    score: StepOutput | None = Field(None, description=SCORES)


class SequenceAnswer(Answer):
    """The outputs of all steps, and the position of the session after them."""

    outputs: SequenceOutputs | None = Field(
        description="Numbers in the layout of the request. null if the request is repeated and its outputs were"
        " too large to keep."
    )
    step: int
    position: str
    model: str | None = Field(None, description=RAN_BY)
    score: SequenceOutputs | None = Field(None, description=SCORES)
