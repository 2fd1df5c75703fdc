"""Requests that edit a session in another way than by steps, such as a reset or a restore."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cellar.ports import Committed, Identity, Mask, Position, SessionKey, SessionMeta, SessionRecord
from cellar.sessions.requests.admission import NO_SIZE
from cellar.sessions.requests.request import Request
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import Kind


@dataclass(frozen=True, slots=True)
class Edited:
    """The result of an edit: the new state of the session, and its new metadata."""

    state: bytes
    meta: SessionMeta | None = None
    """The new metadata, None if they stay the same."""
    reset: Mask | None = None
    """(rows,) the rows that are reset; None for all, or for none."""
    stays: bool = False
    """Whether the position stays as well: the next step continues from there."""
    layout: str | None = None
    """The layout of the new state, if the session moves to another model."""
    steps: int = 0
    """The number of steps, if a sequence was run before the edit; `after` is the position at its end."""
    after: Position | None = None
    logged: bytes | None = None
    """The bytes that the log keeps in place of the new state, if it can be computed from that again."""


Edit = Callable[[SessionRecord, Network], Edited]
"""Return the result of an edit for the present session. Raise an error if the edit is not possible."""

Prepare = Callable[[SessionRecord, Network], Awaitable[Edited]]
"""An edit that has to ask the store first. Raise Stale if it finds that the session is not what the record says."""


class Stale(Exception):
    """The session has moved on, or is another one, since the record was read."""


class ChangeRequest(Request[Committed]):
    """A change that is not a step, until it is answered."""

    __slots__ = ("any_model", "any_revision", "edit", "prepare", "size")

    def __init__(
        self, key: SessionKey, kind: Kind, identity: Identity, fingerprint: bytes, nonce: bytes, began_s: float
    ) -> None:
        super().__init__(key, kind, identity, fingerprint, nonce, began_s)
        self.size = NO_SIZE
        self.edit: Edit | None = None
        """Computes the new state. None if `prepare` does."""
        self.prepare: Prepare | None = None
        """Computes the new state with reads from the store. Later requests of the session wait meanwhile."""
        self.any_revision = self.any_model = False

    def succeed(
        self, position: Position, steps: int, output: bytes | None, replayed: bool, model: str | None = None
    ) -> None:
        """Answer the change."""
        self.finish(Committed(position, steps, output, replayed, model))
