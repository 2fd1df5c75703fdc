"""Shadows: a second version that follows a session, beside it and never in its way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cellar.ports.sessions.record import SessionKey


@dataclass(frozen=True, slots=True)
class Shadow:
    """How far a version has followed a session, and what was found. Positions are texts: they are only told."""

    incarnation: bytes
    """Of the session."""
    model: str
    model_digest: str
    own_model: str
    """The session's own version at `revision`."""
    own_digest: str
    began: str
    began_s: float
    revision: int
    """Of the session, up to which it has been followed."""
    position: str
    state: bytes
    """Of the shadow, and"""
    own_state: bytes
    """of the session itself, at `revision`; float32, (rows, size)."""
    steps: int = 0
    numbers: int = 0
    largest: float = 0.0
    total: float = 0.0
    last: Sequence[tuple[str, float]] = ()
    """The largest difference of each of the last changes."""
    missed: int = 0
    """Changes that the log had lost before they could be followed."""
    stopped: str | None = None
    """Why it follows no more."""
    seal: bytes = field(default=b"", compare=False)
    """What the store knows it by."""


class ShadowStore(Protocol):
    """Shadows, one for a session at most. They end with their session."""

    async def put(self, key: SessionKey, shadow: Shadow) -> None:
        """Store a shadow in the place of another one. Raise as `SessionStore.load` if the session is not there."""
        ...

    async def load(self, key: SessionKey) -> Shadow | None:
        """Return the shadow of the session, None if there is none. Raise StoreUnavailable or StoreCorrupt."""
        ...

    async def save(self, key: SessionKey, before: Shadow, after: Shadow) -> bool:
        """Store how far it has come, if it is still where it was; return whether that was so."""
        ...

    async def delete(self, key: SessionKey) -> bool:
        """Delete the shadow; return whether there was one."""
        ...

    async def behind(self, tenant: str) -> Sequence[SessionKey]:
        """Return the sessions of a tenant whose shadows have something to follow."""
        ...

    async def take_turn(self, every_s: float) -> bool:
        """Return whether it is for this process to let shadows follow now."""
        ...
