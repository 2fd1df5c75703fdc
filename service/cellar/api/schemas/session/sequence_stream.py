"""Requests and answers of long sequences: the query, the lines of steps and the lines of results."""

from typing import Literal

from pydantic import Field

from cellar.api.schemas.names import RAN_BY, Answer
from cellar.api.schemas.numbers import Counts, Flags, LineInputs, ResetOfSteps, RowsOfSteps, StepInput
from cellar.api.schemas.session.steps import LENGTHS, ROWS, Lengths, StepQuery
from cellar.nn.spec.base import Frozen
from cellar.sessions.operations.long_sequence import CHUNK_STEPS

COMMITTED = "Whether the steps are part of the session. With `commit=all` none are before the end."


class LongQuery(Lengths, StepQuery):
    """The query of a long sequence."""

    commit: Literal["chunk", "all"] = Field(
        "chunk",
        description="chunk: each chunk is applied by itself. all: the whole sequence is applied at its end, or"
        " nothing is.",
    )
    outputs: Literal["all", "last", "none"] = Field(
        "last",
        description="The outputs in each line: of all its steps, of the last step, or none. With all, the client"
        " must read the answer while it sends the body.",
    )
    chunk: int = Field(
        CHUNK_STEPS,
        ge=1,
        le=2**16,
        description="Number of steps that run together and are answered with one line; fewer if steps are wide.",
    )


class LineRows(Frozen):
    """The members of a line about its rows."""

    reset: ResetOfSteps = False
    rows: Counts | None = Field(None, description=f"{ROWS} Not beside `rows` in the query.")


class LongStep(LineRows):
    """A line with one step."""

    reset: bool | Flags = Field(
        False,
        description="Put rows into the initial state before the step: `true` for all rows, or a boolean for each.",
    )
    input: StepInput = Field(description="The input of one step.", examples=[[0.1, 0.2, 0.3]])


class LongSteps(LineRows):
    """A line with several steps."""

    reset: ResetOfSteps = Field(
        False, description="Rows to put into the initial state, as `reset` of a sequence in one body."
    )
    lengths: Counts | None = Field(None, description=LENGTHS)
    inputs: LineInputs = Field(description="(T, batch_size, in_size), or (T, in_size) of a session of one row.")


class LongAnswer(Answer):
    """A line about a chunk of steps that have run."""

    first: int = Field(description="Steps of the body before this chunk.")
    steps: int
    committed: bool = Field(description=COMMITTED)
    step: int | None = Field(None, description="Steps of the epoch after this chunk, if it is committed.")
    position: str | None = Field(None, description="Position after this chunk, if it is committed.")
    replayed: bool = Field(False, description="Whether this chunk had been applied before.")
    model: str | None = Field(None, description=RAN_BY)
    outputs: RowsOfSteps | None = Field(
        None,
        description="(steps, batch_size, out_size). null if the steps were applied before and their outputs are"
        " not kept.",
    )


class LongEnd(Answer):
    """The last line."""

    done: Literal[True]
    steps: int = Field(description="Steps of the whole body.")
    committed: Literal[True]
    step: int
    position: str
    replayed: bool = Field(False, description="Whether the whole body had been applied before.")
