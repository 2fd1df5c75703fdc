"""Takes, lists, restores and deletes snapshots of sessions."""

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
    """Named copies of the state of a session, kept as long as the session. Methods raise as those of `Sessions`."""

    def __init__(self, sessions: Sessions, store: SessionStore, snapshots: SnapshotStore, clock: Clock) -> None:
        self._sessions = sessions
        self._store = store
        self._snapshots = snapshots
        self._clock = clock

    async def take(self, key: SessionKey, name: str, identity: Identity) -> SnapshotAnswer:
        """Copy the present state of the session under a name.

        If the name exists, the existing snapshot is returned if the request has its Idempotency-Key, or names its
        position, or has no identity and finds the session at its position. Otherwise raise AlreadyExists. Raise
        SnapshotsFull, or a PositionConflict according to the identity.
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
        """Delete a snapshot. Raise SnapshotUnknown."""
        await self._snapshots.delete(key, name)

    async def restore(self, key: SessionKey, name: str, identity: Identity) -> ChangeAnswer:
        """Restore the state of a snapshot. Raise SnapshotUnknown, SnapshotUnfit or KernelRevisionMismatch."""
        mark = fingerprint("restore", names=name)
        try:
            copy = await self._sessions.recovery.recover(await self._snapshots.read(key, name))
        except SnapshotUnknown:
            # a repetition of a restore is answered even if the snapshot was deleted since
            found = await self._store.find(key, identity, mark)
            if isinstance(found, Committed):
                return ChangeAnswer(found.position, replayed=True)
            raise
        return await self._sessions.change(key, "restore", identity, mark, partial(state_edits.restore, copy))


def _mark(key: str) -> bytes:
    return blake2b(key.encode(), digest_size=REQUEST_BYTES).digest()
