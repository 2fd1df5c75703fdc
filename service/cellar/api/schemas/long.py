"""Sequences of any length."""

from typing import Literal

from pydantic import Field

from cellar.api.schemas.names import Answer
from cellar.api.schemas.numbers import LineInputs, RowsOfSteps, StepInput
from cellar.api.schemas.sessions import StepQuery
from cellar.nn.spec.network import Frozen
from cellar.sessions.operations.long_sequence import CHUNK_STEPS

COMMITTED = "Whether they are part of the session: in a sequence that is applied as a whole, none are before its end."


class LongQuery(StepQuery):
    """What stands beside a long sequence."""

    commit: Literal["chunk", "all"] = Field(
        "chunk", description="What is applied all or not at all: each chunk, one after the other, or the whole."
    )
    outputs: Literal["all", "last", "none"] = Field(
        "last",
        description="Which outputs a line has: of all its steps, of the last one, or none. Who asks for all must read"
        " the answer while the body is sent.",
    )
    chunk: int = Field(
        CHUNK_STEPS,
        ge=1,
        le=2**16,
        description="Steps that are run together and answered with a line; wide ones fewer.",
    )


class LongStep(Frozen):
    """A line with one step."""

    input: StepInput = Field(description="As in a single step.", examples=[[0.1, 0.2, 0.3]])


class LongSteps(Frozen):
    """A line with several steps."""

    inputs: LineInputs = Field(description="(T, batch_size, in_size), or (T, in_size) of a session of one row.")


class LongAnswer(Answer):
    """A line about steps that have run."""

    first: int = Field(description="Steps of the body before them.")
    steps: int
    committed: bool = Field(description=COMMITTED)
    step: int | None = Field(None, description="Where the session stands after them, if they are committed.")
    position: str | None = Field(None, description="The same.")
    replayed: bool = Field(False, description="Whether they had been applied before.")
    outputs: RowsOfSteps | None = Field(
        None, description="(steps, batch_size, out_size). null of steps applied before, whose outputs are not kept."
    )


class LongEnd(Answer):
    """The last line."""

    done: Literal[True]
    steps: int = Field(description="Steps of the body.")
    committed: Literal[True]
    step: int
    position: str
    replayed: bool = Field(False, description="Whether all had been applied before.")
