"""The JSON messages of a WebSocket, from clients and from the service."""

from typing import Annotated

from pydantic import Field

from cellar.api.schemas.names import RAN_BY, Answer, Name, PositionText
from cellar.api.schemas.numbers import SequenceOutputs, StepOutput
from cellar.api.schemas.problems import Problem
from cellar.api.schemas.session.steps import POSITION, SCORES, InPlaceOfHeaders, SequenceRequest, StepRequest
from cellar.nn.spec.base import Frozen

SESSION = "The session. Required on a socket for many sessions, optional on that of one session."

Tag = Annotated[int, Field(ge=0, lt=2**32)]


class Message(InPlaceOfHeaders):
    """The members of a message besides those of a step."""

    id: Tag | None = Field(None, description="Any number; the answer repeats it.")
    session: Name | None = Field(None, description=SESSION)


class StepMessage(StepRequest, Message):
    """One time step."""


class SequenceMessage(SequenceRequest, Message):
    """Several time steps, applied all or not at all."""


class ResumeMessage(Frozen):
    """A request for all that was committed after a position, such as answers that were lost with a connection."""

    resume: PositionText = Field(description=POSITION)
    session: Name | None = Field(None, description=SESSION)
    writer: Name | None = Field(None, description="Name of the writer whose requests are sent with their `seq`.")


class Told(Answer):
    """A message of the service."""

    session: str | None = Field(None, description="On a socket of many sessions.")


class Located(Told):
    """A message with the position of a session."""

    step: int
    position: str = Field(description="The position to send with the next step.")
    durability: str = Field(description="Guarantee of the store for it, in the words of `/readyz`.")


class GreetingAnswer(Told):
    """The first message. On a socket of many sessions it has no more than window and durability."""

    window: int = Field(description="Number of steps of a session that may be in flight.")
    durability: str = Field(description="Guarantee of the store for an answered step, in the words of `/readyz`.")
    model: str | None = Field(None, description="The version of the session, `name@3`.")
    batch_size: int | None = None
    step: int | None = None
    position: str | None = None


class StepReply(Located):
    """The output of a step, and the position of the session after it."""

    id: Tag | None = Field(None, description="The `id` of the step.")
    output: StepOutput | None = Field(
        description="Numbers, nested as the input. null if the output was too large to keep."
    )
    replayed: bool | None = Field(None, description="Whether the step was applied before.")
    model: str | None = Field(None, description=RAN_BY)
    score: StepOutput | None = Field(None, description=SCORES)


class SequenceReply(Located):
    """The outputs of a sequence, and the position of the session after it."""

    id: Tag | None = Field(None, description="The `id` of the sequence.")
    outputs: SequenceOutputs | None = Field(
        description="Numbers in the layout of the inputs. null if the outputs were too large to keep."
    )
    replayed: bool | None = Field(None, description="Whether the sequence was applied before.")
    model: str | None = Field(None, description=RAN_BY)
    score: SequenceOutputs | None = Field(None, description=SCORES)


class ProblemReply(Told):
    """The error of a step, or of a resume."""

    id: Tag | None = Field(None, description="The `id` of the request.")
    resume: str | None = Field(None, description="The position that was asked for.")
    problem: Problem


class MissedReply(Located):
    """A change since the requested position."""

    replayed: bool
    writer: str | None = Field(None, description="The writer of the request, if it is the one that resumes.")
    seq: int | None = Field(None, description="The number of the request of that writer.")
    output: StepOutput | None = Field(None, description="The output of a single step.")
    outputs: SequenceOutputs | None = Field(None, description="The outputs of a sequence.")
    changed: bool | None = Field(None, description="true if the change was not a step.")
    model: str | None = Field(None, description=RAN_BY)


class ResumedReply(Located):
    """The end of the changes since the requested position."""

    resumed: str = Field(description="The position that was asked for.")


class StoppingReply(Answer):
    """The service is stopping. It closes the socket now."""

    stopping: dict[str, str] = Field(description="The last answered position of each session.")
