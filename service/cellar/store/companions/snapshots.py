"""Snapshots of sessions in Redis.

All snapshots of a session are one hash beside its record. The hash has no lifetime, so that commits need not extend it:
it is deleted when its session is deleted, found to have expired (`index.py`), or replaced by a new session of its name.
Snapshots of a session without a record are not returned.

Fields of the hash, four for each copy (`lua/session/copy.lua` writes them):

    h:<name>  m:<name>  s:<name>   head, meta and state of the record at that moment
    a:<name>                       about: when it was taken, and 16 bytes that identify the request
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from struct import Struct

from cellar.errors import CellarError, SessionUnknown, SnapshotsFull, SnapshotUnknown, StoreCorrupt
from cellar.ports import (
    Identity,
    Position,
    RequestCopy,
    SessionKey,
    SessionRecord,
    SessionStore,
    Snapshot,
    SnapshotResult,
)
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.protocol.resp import Command, Reply, items, raw, text
from cellar.store.protocol.script import load_script
from cellar.store.sessions.commits.redo_entries import unpack_copied_state
from cellar.store.sessions.record_codec import unpack_head, unpack_incarnation, unpack_record

_ABOUT = Struct("<d16s")
_POSITION = Struct("<8sQ16s")
_AT = 9
"""Offset of the position in a head."""

FOUND = (b"h:", b"m:", b"a:")
"""Fields of a copy except its state."""


def pack_about(taken_s: float, request: bytes) -> bytes:
    """Return the packed time and request of a copy."""
    return _ABOUT.pack(taken_s, request)


def pack_position(position: Position | None) -> bytes:
    """Return a position as it is packed in a head; nothing for None."""
    if position is None:
        return b""
    return _POSITION.pack(position.epoch, position.step, position.digest)


def position_of(head: object) -> Position:
    """Return the position in a head. Raise StoreCorrupt."""
    return Position(*_POSITION.unpack_from(raw(head), _AT))


def fields(kinds: Sequence[bytes], name: str) -> list[bytes]:
    """Return the names of the hash fields of a copy."""
    return [kind + name.encode() for kind in kinds]


def names(found: Iterable[object]) -> list[str]:
    """Return the names of the copies that have these fields."""
    return sorted(text(field)[2:] for field in found if raw(field).startswith(b"h:"))


def unpack_snapshot(name: str, head: object, meta: object, about: object) -> Snapshot:
    """Return a copy without its state. Raise StoreCorrupt."""
    found, position, _ = unpack_head(raw(head), raw(meta))
    if len(raw(about)) != _ABOUT.size:
        raise StoreCorrupt("a damaged copy of a session")
    return Snapshot(name, found, position, *_ABOUT.unpack(raw(about)))


def unpack_copy(key: SessionKey, head: object, meta: object, state: object) -> SessionRecord:
    """Return the session as it was. Raise StoreCorrupt."""
    there, redo = unpack_copied_state(raw(head), raw(state))
    return unpack_record(key, raw(head), raw(meta), there, None, redo)


def is_of(copy: object, session: object) -> bool:
    """Return whether there is a copy and it is of this session and not of an earlier one of its name, by the heads."""
    return (
        isinstance(copy, bytes)
        and isinstance(session, bytes)
        and unpack_incarnation(copy) == unpack_incarnation(session)
    )


COPY = load_script("session/copy")

_STATE = (b"h:", b"m:", b"s:")


@dataclass(frozen=True, slots=True)
class _Copied:
    """The reply of the script: whether it has copied now; the present head, then head, meta and about of the copy."""

    copied: bool
    resent: bool
    fields: Sequence[Reply]


class RedisSnapshots:
    """Implements `cellar.ports.SnapshotStore` on the router of the sessions."""

    def __init__(
        self, router: Router, sessions: SessionStore, *, prefix: str, most: int = 16, held_s: float = 86400
    ) -> None:
        self._client = RetryingClient(router)
        self._sessions = sessions
        self._keys = SessionKeys(prefix)
        self._most = most
        self._held_ms = int(held_s * 1000)

    async def take(
        self, key: SessionKey, name: str, position: Position | None, request: bytes, taken_s: float
    ) -> SnapshotResult:
        """Copy the session under that name; if there is a snapshot of that name, return it instead."""
        copies = self._keys.snapshots(key)
        found = await self._copy(key, copies, name, position, pack_about(taken_s, request), self._most)
        now, head, meta, about = found.fields
        snapshot = unpack_snapshot(name, head, meta, about)
        mine = found.resent and snapshot.request == request  # the reply to the first sending was lost
        return SnapshotResult(snapshot, found.copied or mine, position_of(now))

    async def copy_for_request(
        self, key: SessionKey, mark: bytes, position: Position | None, request: bytes, taken_s: float
    ) -> RequestCopy:
        """Return the copy with that mark; if there is none, copy the session, for as long as Idempotency-Keys."""
        place = self._keys.held(key, mark)
        found = await self._copy(key, place, "", position, pack_about(taken_s, request), 1, self._held_ms)
        _, head, meta, about = found.fields
        (state,) = await self._client.read([(b"HGET", place, b"s:")])
        # if the command was sent twice, an existing copy may be of the first sending
        replayed = not (found.copied or found.resent)
        return RequestCopy(
            unpack_copy(key, head, meta, state), unpack_snapshot("", head, meta, about).request, replayed
        )

    async def _copy(
        self,
        key: SessionKey,
        copies: bytes,
        name: str,
        position: Position | None,
        about: bytes,
        most: int,
        life_ms: int = 0,
    ) -> "_Copied":
        keys = (self._keys.record(key), self._keys.tombstone(key), copies)
        arguments = (name.encode(), pack_position(position), about, b"%d" % most, b"%d" % life_ms)
        # the name is listed again, so that the hash, which has no lifetime, is found when the session has expired
        enlist = (b"ZADD", self._keys.bucket_of(key), b"0", key.session.encode())
        _, answer = await self._client.execute([enlist, COPY.call(keys, *arguments)], in_order=True)
        what, *fields = items(answer.result())
        if what == b"gone":
            raise await self._gone(key)
        if what == b"full":
            raise SnapshotsFull(f"the session has {most} snapshots, and may not have more")
        if what == b"moved":
            await self._sessions.find(
                key, Identity(position=position), b""
            )  # raises, unless the session is at that position again
            return await self._copy(key, copies, name, position, about, most, life_ms)
        return _Copied(what == b"copied", answer.resent, fields)

    async def list(self, key: SessionKey) -> Sequence[Snapshot]:
        """Return all snapshots of the session, by name."""
        record, copies = self._keys.record(key), self._keys.snapshots(key)
        head, found = await self._client.read([(b"HGET", record, b"h"), (b"HKEYS", copies)])
        if head is None:
            raise await self._gone(key)
        there = names(items(found))
        if not there:
            return []
        commands: list[Command] = [(b"HMGET", copies, *fields(FOUND, name)) for name in there]
        replies = [items(reply) for reply in await self._client.read(commands)]
        pairs = zip(there, replies, strict=True)
        return [unpack_snapshot(name, *reply) for name, reply in pairs if is_of(reply[0], head)]

    async def find(self, key: SessionKey, name: str) -> Snapshot:
        """Return a snapshot. Raise SnapshotUnknown."""
        return unpack_snapshot(name, *await self._read(key, name, FOUND))

    async def read(self, key: SessionKey, name: str) -> SessionRecord:
        """Return the session as it was, with its state. Raise SnapshotUnknown."""
        return unpack_copy(key, *await self._read(key, name, _STATE))

    async def delete(self, key: SessionKey, name: str) -> None:
        """Delete a snapshot. Raise SnapshotUnknown."""
        await self._read(key, name, FOUND)
        command = (b"HDEL", self._keys.snapshots(key), *fields((*FOUND, b"s:"), name))
        (answer,) = await self._client.execute([command])
        if answer.result() == 0 and not answer.resent:
            raise _unknown(name)

    async def _read(self, key: SessionKey, name: str, kinds: Sequence[bytes]) -> Sequence[Reply]:
        record, copies = self._keys.record(key), self._keys.snapshots(key)
        head, found = await self._client.read([(b"HGET", record, b"h"), (b"HMGET", copies, *fields(kinds, name))])
        if head is None:
            raise await self._gone(key)
        if not is_of(items(found)[0], head):
            raise _unknown(name)
        return items(found)

    async def _gone(self, key: SessionKey) -> CellarError:
        """Return why there is no session."""
        try:
            await self._sessions.summary(key)
        except CellarError as error:
            return error
        return SessionUnknown(f"there was no session {key.session} a moment ago")


def _unknown(name: str) -> SnapshotUnknown:
    return SnapshotUnknown(f"the session has no snapshot {name}")
