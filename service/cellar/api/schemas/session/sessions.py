"""Requests and answers for sessions, their steps and their states."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from cellar.api.schemas.names import (
    Answer,
    ModelRef,
    Name,
    PositionText,
    time_of,
)
from cellar.api.schemas.numbers import (
    Flags,
    Indices,
    Numbers,
    StateInput,
)
from cellar.api.schemas.session.steps import POSITION
from cellar.nn.learning.spec import Learning, LearningSpec
from cellar.nn.model.lowering import MAX_LAYERS
from cellar.nn.spec.base import Frozen
from cellar.ports import Deletion, Identity
from cellar.sessions.service.options import MAX_EVENTS, MAX_HISTORY, MAX_LOG
from cellar.sessions.values import results
from cellar.sessions.values.position import parse_position

MAX_TTL_S = 2**31 - 1
"""68 years: the largest value that fits every counter between here and Redis."""

HISTORY = (
    "Number of earlier states to keep, each before a change. Requests of the session are then committed one by one."
)
LOG = "Number of changes whose inputs are kept in a log."
EVENTS = "Number of events that are kept for watchers; with 0 the session cannot be watched."
LEARNING = "How the session learns from targets that are given later; absent: it does not."
PINNED = "Whether the session never expires."


class WarmUpRequest(Frozen):
    """Rows of a dataset after which a session begins: its state is the one after these rows as steps."""

    dataset: Name = Field(description="The dataset.")
    series: str | None = Field(
        None, max_length=1024, description="The series whose last rows are taken; not needed if there is only one."
    )
    rows: int | None = Field(
        None, ge=1, description="How many of its last rows. Default: all, but not more than 10,000."
    )
    inputs: list[str] | None = Field(
        None, min_length=1, description="Columns of the inputs, if the model has no layer of readings."
    )


class NewSession(Frozen):
    """The model and the options of a session to create."""

    session: Name | None = Field(None, description="Name of the session; one is generated if absent.")
    model: ModelRef
    batch_size: int = Field(1, ge=1, description="Rows: independent sequences that step together.")
    ttl_s: int | None = Field(None, ge=1, le=MAX_TTL_S, description="Lifetime after the last change, seconds.")
    history: int = Field(0, ge=0, le=MAX_HISTORY, description=HISTORY)
    log: int = Field(0, ge=0, le=MAX_LOG, description=LOG)
    events: int = Field(0, ge=0, le=MAX_EVENTS, description=EVENTS)
    pinned: bool = Field(False, description=PINNED)
    learning: LearningSpec | None = Field(None, description=LEARNING)

    @property
    def learning_text(self) -> str:
        """The JSON of what the session learns; empty: nothing."""
        return "" if self.learning is None else self.learning.model_dump_json(exclude_unset=True)


class SessionRequest(NewSession):
    """A session to create."""

    warm_up: WarmUpRequest | None = Field(
        None, description="Rows of a dataset after which the session begins; without them it has the initial state."
    )


class LayerRequest(Frozen):
    """The states of one layer, each under its own name: an array for each row."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, StateInput]

    layer: int = Field(ge=0, description="Number of the layer in the network.")
    cell: str | None = Field(None, description="Name of the cell as it was read; ignored.")

    @property
    def states(self) -> dict[str, Numbers]:
        """Return the arrays by the name of their state."""
        return self.__pydantic_extra__


class SessionLine(NewSession):
    """A session to create, as a line of `POST /v1/sessions/bulk`."""

    layers: list[LayerRequest] | None = Field(
        None,
        max_length=MAX_LAYERS,
        description="Its state, as `GET .../state` returns it; the initial one if absent.",
    )


class SessionUpdate(Frozen):
    """The lifetime of a session. Members that are absent are not changed."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    ttl_s: int | None = Field(None, ge=1, le=MAX_TTL_S, description="Lifetime after the last change, seconds.")
    pinned: bool | None = Field(None, description=PINNED)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.ttl_s is None and self.pinned is None:
            raise ValueError("expected `ttl_s` or `pinned`")
        return self


class SessionAnswer(Answer):
    """A session without its state."""

    session: str
    model: str = Field(description="The version that runs the session, `co2@3`.")
    follows: str | None = Field(description="The alias that the session follows, `co2@live`; null if it is pinned.")
    model_digest: str
    kernel_rev: int = Field(description="Revision of the arithmetic to which the session is pinned.")
    batch_size: int
    step: int = Field(description="Steps of the present epoch: since the session was created, reset or written.")
    position: str
    ttl_s: int
    history: int = Field(description=HISTORY)
    log: int = Field(description=LOG)
    events: int = Field(description=EVENTS)
    pinned: bool = Field(description=PINNED)
    created: datetime
    expires: datetime | None = Field(description="When the session expires if it is not changed; null if it is pinned.")
    learning: LearningSpec | None = Field(
        None, description="How the session learns; absent if it does not.", exclude_if=lambda spec: spec is None
    )

    @classmethod
    def of(cls, session: results.SessionAnswer) -> Self:
        """Return the answer for a session of the runtime."""
        return cls(**cls.members(session))

    @classmethod
    def members(cls, session: results.SessionAnswer) -> dict[str, Any]:
        """Return the members of the answer, in their order: an answer with many sessions is written from them."""
        meta, position = session.meta, session.position
        found: dict[str, Any] = {
            "session": session.key.session,
            "model": meta.model,
            "follows": meta.follows,
            "model_digest": meta.model_digest,
            "kernel_rev": meta.kernel_rev,
            "batch_size": meta.batch_size,
            "step": position.step,
            "position": str(position),
            "ttl_s": meta.ttl_s,
            "history": meta.history,
            "log": meta.log,
            "events": meta.events,
            "pinned": meta.pinned,
            "created": time_of(meta.created_s),
            "expires": None if meta.pinned else time_of(session.expires_s),
        }
        if meta.learning:
            found["learning"] = Learning.spec_of(meta.learning).model_dump()
        return found


class SessionLineAnswer(SessionAnswer):
    """A session of `POST /v1/sessions/bulk`."""

    replayed: Literal[True] | None = Field(None, description="Present if an earlier request created the session.")


class DeletionAnswer(Answer):
    """A deletion of all sessions that a filter selects."""

    deletion: str
    state: Literal["running", "ended"]
    prefix: str
    model: str | None
    idle_s: int | None
    dry_run: bool = Field(description="Whether sessions are only counted.")
    matched: int = Field(description="Sessions that were selected so far.")
    deleted: int = Field(
        description="Sessions that were deleted so far. A session that is stepped after it was selected by `idle_s` "
        "is not idle, and stays."
    )
    created: datetime
    ended: datetime | None

    @classmethod
    def of(cls, deletion: Deletion) -> Self:
        """Return the answer for a deletion."""
        wanted, ended_s = deletion.wanted, deletion.ended_s
        return cls.read(
            deletion,
            state="running" if ended_s is None else "ended",
            prefix=wanted.prefix,
            model=wanted.model,
            idle_s=wanted.idle_s,
            created=time_of(deletion.created_s),
            ended=None if ended_s is None else time_of(ended_s),
        )


class WriterAnswer(Answer):
    """The last request of a writer."""

    session: str
    writer: str
    seq: int = Field(description="Number of the writer's last request; 0 if the session does not know the writer.")
    step: int = Field(description="Steps of the present epoch.")
    position: str

    @classmethod
    def of(cls, session: str, writer: str, found: results.WriterAnswer) -> Self:
        """Return the answer for a writer of a session."""
        position = found.position
        return cls(session=session, writer=writer, seq=found.seq, step=position.step, position=str(position))


class SessionsAnswer(Answer):
    """A page of sessions."""

    sessions: list[SessionAnswer]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')


class Placed(Frozen):
    """A change that is applied only if the session has the given position."""

    position: PositionText | None = Field(None, description=POSITION)

    def identity(self, key: str | None) -> Identity:
        """Return the identity of the request; `key` is its Idempotency-Key. Raise InvalidInput."""
        return Identity(position=None if self.position is None else parse_position(self.position), key=key)


class ResetRequest(Placed):
    """A reset of the whole session, or of some rows."""

    rows: Indices | Flags | None = Field(
        None, min_length=1, description="The rows to reset, by their numbers from 0, or a boolean for each row."
    )


class StateRequest(Placed):
    """States by layer and name."""

    layers: list[LayerRequest] = Field(max_length=MAX_LAYERS, fail_fast=True)


class StateQuery(Placed):
    """The query of a body with states that is not JSON."""


class StatesQuery(StateQuery):
    """The query of a body with some states that is not JSON."""

    layer: int | None = Field(None, ge=0, description="Number of the layer whose state the npy file holds.")
    name: str | None = Field(None, max_length=128, description="Name of the state that the npy file holds.")


class ChangeAnswer(Answer):
    """The position of the session after a change that is not a step: step 0 of a new epoch."""

    step: int
    position: str

    @classmethod
    def of(cls, change: results.ChangeAnswer) -> Self:
        """Return the answer for a change of the runtime."""
        return cls(step=change.position.step, position=str(change.position))


class LayerAnswer(Answer):
    """The states of one layer, each under its own name: an array for each row."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, list[list[float]]]

    layer: int
    cell: str


class StateAnswer(Answer):
    """The state of a session at a position."""

    session: str
    position: str
    step: int
    layers: list[LayerAnswer]
