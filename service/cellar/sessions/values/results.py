"""What `Sessions` answers: plain values that know no transport."""

from dataclasses import dataclass

from cellar.ports import Floats, Position, SessionSummary


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """A session, its state apart. `str(position)` is what a client sends back."""

    session: str
    model: str
    """The pinned version, `name@3`."""
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
    """When it ends if nothing happens to it, unless it is pinned; seconds since the Unix epoch."""

    @classmethod
    def of(cls, summary: SessionSummary, now_s: float) -> "SessionAnswer":
        """Return what there is to tell of a stored session."""
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
class CreateAnswer:
    """The session of that name, and whether this request made it."""

    session: SessionAnswer
    created: bool


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """The session after a change of its settings, and whether the same request had come before."""

    session: SessionAnswer
    replayed: bool


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """Some sessions, and the cursor that continues ("" at the end)."""

    sessions: tuple[SessionAnswer, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """Where the session stands after a change that is not a step."""

    position: Position
    replayed: bool


@dataclass(frozen=True, slots=True)
class StatePart:
    """One named state of one layer, (B, size)."""

    layer: int
    name: str
    cell: str
    """What the cell of the layer is called."""
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
    """A change that a client may not have heard of. `outputs` is (steps, B, out_size).

    It is None where the output was too large to be kept, and of a change that is no step.
    """

    position: Position
    steps: int
    outputs: Floats | None
    seq: int | None
    """Of the writer who asks."""


@dataclass(frozen=True, slots=True)
class SinceAnswer:
    """Where a session stands, and how it came there."""

    position: Position
    missed: tuple[Missed, ...]
