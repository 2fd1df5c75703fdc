"""Messages of a stream: what a client sends as JSON, and what it is told."""

from typing import Annotated

from pydantic import Field

from cellar.api.schemas.names import IDEMPOTENCY_KEY_PATTERN, MOST_TIMEOUT_MS, Answer, Name, PositionText
from cellar.api.schemas.numbers import SequenceOutputs, StepOutput
from cellar.api.schemas.problems import Problem
from cellar.api.schemas.sessions import POSITION, SequenceRequest, StepRequest
from cellar.nn.spec.network import Frozen

SESSION = "Which session, on a socket that carries many; on the socket of one session it may be left out."

Tag = Annotated[int, Field(ge=0, lt=2**32)]


class Message(Frozen):
    """What a step on a stream may say besides."""

    id: Tag | None = Field(None, description="Any number; the answer has it too.")
    session: Name | None = Field(None, description=SESSION)
    key: str | None = Field(None, pattern=IDEMPOTENCY_KEY_PATTERN, description="As the header Idempotency-Key.")
    timeout_ms: int | None = Field(
        None, ge=1, le=MOST_TIMEOUT_MS, description="Milliseconds in which the step must begin to run."
    )

    @property
    def timeout_s(self) -> float | None:
        """Seconds in which it must begin to run."""
        return None if self.timeout_ms is None else self.timeout_ms / 1000


class StepMessage(StepRequest, Message):
    """One time step."""


class SequenceMessage(SequenceRequest, Message):
    """Several time steps, applied all or not at all."""


class ResumeMessage(Frozen):
    """Ask for what was committed after a position: answers that a lost connection swallowed."""

    resume: PositionText = Field(description=POSITION)
    session: Name | None = Field(None, description=SESSION)
    writer: Name | None = Field(None, description="Whose requests shall be told with their `seq`.")


class Told(Answer):
    """What the service says on a stream."""

    session: str | None = Field(None, description="On a socket of many sessions.")


class Located(Told):
    """Where the session stands."""

    step: int
    position: str = Field(description="To be sent back, as over HTTP.")
    durability: str = Field(description="What the store promises of it, in the words of `/readyz`.")


class GreetingAnswer(Told):
    """The first message. On a socket of many sessions it has no more than window and durability."""

    window: int = Field(description="Steps of a session that may be in flight.")
    durability: str = Field(description="What the store promises of an answered step, in the words of `/readyz`.")
    model: str | None = Field(None, description="The pinned version, `name@3`.")
    batch_size: int | None = None
    step: int | None = None
    position: str | None = None


class StepReply(Located):
    """The output of a step and where the session stands after it."""

    id: Tag | None = Field(None, description="Of the step.")
    output: StepOutput | None = Field(description="Nested as the input. null if it was too large to be kept.")
    replayed: bool | None = Field(None, description="Whether it was applied before.")


class SequenceReply(Located):
    """The outputs of a sequence and where the session stands after it."""

    id: Tag | None = Field(None, description="Of the sequence.")
    outputs: SequenceOutputs | None = Field(description="In the layout of the inputs. null if too large to be kept.")
    replayed: bool | None = Field(None, description="Whether it was applied before.")


class ProblemReply(Told):
    """A step that failed, or a resume that cannot be."""

    id: Tag | None = Field(None, description="Of the step.")
    resume: str | None = Field(None, description="The position that was asked for.")
    problem: Problem


class MissedReply(Located):
    """A change since the position that was asked for."""

    replayed: bool
    writer: str | None = Field(None, description="Of its request, if that is the one who asks.")
    seq: int | None = Field(None, description="Of its request.")
    output: StepOutput | None = Field(None, description="Of one step.")
    outputs: SequenceOutputs | None = Field(None, description="Of several steps.")
    changed: bool | None = Field(None, description="true where it was no step.")


class ResumedReply(Located):
    """All that was committed since then is told."""

    resumed: str = Field(description="The position that was asked for.")


class StoppingReply(Answer):
    """The service is stopping. It closes the socket now."""

    stopping: dict[str, str] = Field(description="The last position that was answered of each session.")
