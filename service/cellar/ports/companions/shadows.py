"""Shadows, which run a second model version on a session's log: values and protocol of their store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cellar.ports.sessions.record import SessionKey


@dataclass(frozen=True, slots=True)
class Shadow:
    """How far a version has followed a session, and how its outputs differ. Positions are texts for display."""

    incarnation: bytes
    """Incarnation of the session."""
    model: str
    model_digest: str
    own_model: str
    """The session's own version at `revision`."""
    own_digest: str
    began: str
    began_s: float
    revision: int
    """Revision of the session up to which it has been followed."""
    position: str
    state: bytes
    """State of the shadow at `revision`; float32, (rows, size)."""
    own_state: bytes
    """State of the session at `revision`; float32, (rows, size)."""
    steps: int = 0
    numbers: int = 0
    largest: float = 0.0
    total: float = 0.0
    last: Sequence[tuple[str, float]] = ()
    """Position and largest difference of each of the last changes."""
    missed: int = 0
    """Number of changes that were dropped from the log before the shadow had followed them."""
    stopped: str | None = None
    """Why the shadow has stopped, None while it follows."""
    seal: bytes = field(default=b"", compare=False)
    """The stored form of the shadow, for compare-and-set in the store."""


class ShadowStore(Protocol):
    """Stores shadows, at most one for each session. They are deleted with their session."""

    async def put(self, key: SessionKey, shadow: Shadow) -> None:
        """Store a shadow; it replaces an earlier one. Raise as `SessionStore.load` if there is no session."""

    async def load(self, key: SessionKey) -> Shadow | None:
        """Return the shadow of the session, None if there is none. Raise StoreUnavailable or StoreCorrupt."""

    async def load_all(self, keys: Sequence[SessionKey]) -> Mapping[SessionKey, Shadow]:
        """Return the shadows of those of the sessions that have one. Raise StoreUnavailable or StoreCorrupt."""

    async def save_all(self, changes: Sequence[tuple[SessionKey, Shadow, Shadow]]) -> Sequence[Shadow | None]:
        """Replace shadows, each by another one, as `save`; return the stored one, or None where `save` gives False."""

    async def version(self) -> bytes | None:
        """Return a value that is another one when a session has got a shadow."""

    async def names(self, tenant: str) -> set[SessionKey]:
        """Return the sessions of a tenant that have a shadow."""

    async def among(self, keys: Sequence[SessionKey]) -> Sequence[SessionKey]:
        """Return those of the sessions that have changes which their shadow has not followed."""

    async def save(self, key: SessionKey, before: Shadow, after: Shadow) -> bool:
        """Replace the shadow `before` by `after`; return False if another shadow is stored."""

    async def delete(self, key: SessionKey) -> bool:
        """Delete the shadow; return whether there was one."""

    async def behind(self, tenant: str) -> Sequence[SessionKey]:
        """Return the sessions of a tenant that have changes which their shadow has not followed."""

    async def take_turn(self, every_s: float) -> bool:
        """Return whether this process is to run the shadows now: one process does so in each `every_s`."""
