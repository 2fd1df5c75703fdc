"""Requests that edit a session in another way than by steps, such as a reset or a restore."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cellar.ports import Committed, Identity, Mask, Position, SessionKey, SessionMeta, SessionRecord
from cellar.sessions.requests.request import Request
from cellar.sessions.values.model_protocol import Network
from cellar.sessions.values.position import Kind


@dataclass(frozen=True, slots=True)
class Edited:
    """What a change that is not a step makes of a session."""

    state: bytes
    meta: SessionMeta | None = None
    """What its metadata become, None if they stay."""
    reset: Mask | None = None
    """(rows,) the rows that are reset; None for all, or for none."""
    stays: bool = False
    """Whether the position stays as well: the next step continues from there."""
    layout: str | None = None
    """Of that state, where another model than before has it."""
    steps: int = 0
    """Of a sequence that was run beforehand: how many, and where they end."""
    after: Position | None = None


Edit = Callable[[SessionRecord, Network], Edited]
"""Return what a change that is not a step makes of a session. Raise what forbids it."""

Prepare = Callable[[SessionRecord, Network], Awaitable[Edited]]
"""An edit that has to ask the store first. Raise Stale if it finds that the session is not what the record says."""


class Stale(Exception):
    """The session has moved on, or is another one, since the record was read."""


class ChangeRequest(Request[Committed]):
    """A change that is not a step, until it is answered."""

    __slots__ = ("any_model", "any_revision", "edit", "prepare")

    def __init__(
        self, key: SessionKey, kind: Kind, identity: Identity, fingerprint: bytes, nonce: bytes, began_s: float
    ) -> None:
        super().__init__(key, kind, identity, fingerprint, nonce, began_s)
        self.edit: Edit | None = None
        """What makes the new state, or"""
        self.prepare: Prepare | None = None
        """the same if it takes its time. Requests of the session that come later wait meanwhile."""
        self.any_revision = self.any_model = False

    def succeed(self, position: Position, steps: int, output: bytes | None, replayed: bool) -> None:
        """Answer the change."""
        self.finish(Committed(position, steps, output, replayed))
