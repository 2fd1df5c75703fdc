"""Snapshots of sessions: taken under a name, listed, restored."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from cellar.errors import AlreadyExists, SnapshotUnknown
from cellar.ports import Clock, Committed, Identity, SessionKey, SessionStore, Snapshot, SnapshotStore
from cellar.sessions.service import state_edits
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.values.position import fingerprint
from cellar.sessions.values.results import ChangeAnswer

REQUEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class SnapshotAnswer:
    """A snapshot, and whether this request took it."""

    snapshot: Snapshot
    taken: bool


class Snapshots:
    """What a session was, kept as long as the session. Every method raises as those of `Sessions`."""

    def __init__(self, sessions: Sessions, store: SessionStore, snapshots: SnapshotStore, clock: Clock) -> None:
        self._sessions = sessions
        self._store = store
        self._snapshots = snapshots
        self._clock = clock

    async def take(self, key: SessionKey, name: str, identity: Identity) -> SnapshotAnswer:
        """Keep the session as it is, at one position, under a name of its own.

        The same request again answers the same snapshot: it has the same Idempotency-Key, or names the position of the
        snapshot, or, where it names neither, finds the session still there. Raise AlreadyExists for any other request,
        SnapshotsFull, or the PositionConflict that the identity deserves.
        """
        request = os.urandom(REQUEST_BYTES) if identity.key is None else _mark(identity.key)
        taken = await self._snapshots.take(key, name, identity.position, request, self._clock.now_s())
        there = taken.snapshot
        at_its_place = identity.key is None and there.position == (identity.position or taken.now)
        if not (taken.copied or at_its_place or there.request == request):
            raise AlreadyExists(f"there is a snapshot {name}, taken at {there.position}")
        return SnapshotAnswer(there, taken.copied)

    async def list(self, key: SessionKey) -> Sequence[Snapshot]:
        """Return all snapshots of the session, by name."""
        return await self._snapshots.list(key)

    async def get(self, key: SessionKey, name: str) -> Snapshot:
        """Return a snapshot. Raise SnapshotUnknown."""
        return await self._snapshots.find(key, name)

    async def delete(self, key: SessionKey, name: str) -> None:
        """Forget a snapshot. Raise SnapshotUnknown."""
        await self._snapshots.delete(key, name)

    async def restore(self, key: SessionKey, name: str, identity: Identity) -> ChangeAnswer:
        """Put the session back into the state of a snapshot: step 0 of a new epoch.

        Raise SnapshotUnknown, SnapshotUnfit or KernelRevisionMismatch.
        """
        mark = fingerprint("restore", names=name)
        try:
            copy = await self._snapshots.read(key, name)
        except SnapshotUnknown:
            # a restoration that happened stands, whatever has become of the snapshot
            found = await self._store.find(key, identity, mark)
            if isinstance(found, Committed):
                return ChangeAnswer(found.position, replayed=True)
            raise
        return await self._sessions.change(key, "restore", identity, mark, partial(state_edits.restore, copy))


def _mark(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=REQUEST_BYTES).digest()
