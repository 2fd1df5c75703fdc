"""The results of operations on sessions, independent of HTTP."""

from dataclasses import dataclass

from cellar.ports import Floats, Position, SessionSummary


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """The properties of a session without its state. Clients see `str(position)`."""

    session: str
    model: str
    """The version of the session, `name@3`."""
    model_digest: str
    batch_size: int
    kernel_rev: int
    position: Position
    ttl_s: int
    history: int
    log: int
    events: int
    pinned: bool
    created_s: float
    expires_s: float
    """When it expires if it is not changed and not pinned; seconds since the Unix epoch."""

    @classmethod
    def of(cls, summary: SessionSummary, now_s: float) -> "SessionAnswer":
        """Return the properties of a stored session."""
        meta = summary.meta
        return cls(
            session=summary.key.session,
            model=meta.model,
            model_digest=meta.model_digest,
            batch_size=meta.batch_size,
            kernel_rev=meta.kernel_rev,
            position=summary.position,
            ttl_s=meta.ttl_s,
            history=meta.history,
            log=meta.log,
            events=meta.events,
            pinned=meta.pinned,
            created_s=meta.created_s,
            expires_s=now_s + summary.left_s,
        )


@dataclass(frozen=True, slots=True)
class WriterAnswer:
    """The number of a writer's last request, 0 if the session does not know it, and the position of the session."""

    seq: int
    position: Position


@dataclass(frozen=True, slots=True)
class CreateAnswer:
    """The session of that name, and whether this request created it."""

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


@dataclass(frozen=True, slots=True)
class SinceAnswer:
    """The position of a session, and the changes since a given position."""

    position: Position
    missed: tuple[Missed, ...]
