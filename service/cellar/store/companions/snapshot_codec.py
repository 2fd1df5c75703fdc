"""The stored form of snapshots: bytes of the session's record, and the time and request of each copy.

Fields of the hash, four for each copy (`lua/session/copy.lua` writes them):

    h:<name>  m:<name>  s:<name>   head, meta and state of the record at that moment
    a:<name>                       about: when it was taken, and 16 bytes that identify the request
"""

from collections.abc import Iterable, Sequence
from struct import Struct

from cellar.errors import StoreCorrupt
from cellar.ports import Position, SessionKey, SessionRecord, Snapshot
from cellar.store.protocol.replies import raw, text
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
    return unpack_record(key, raw(head), raw(meta), raw(state), None)


def is_of(copy: object, session: object) -> bool:
    """Return whether there is a copy and it is of this session and not of an earlier one of its name, by the heads."""
    return (
        isinstance(copy, bytes)
        and isinstance(session, bytes)
        and unpack_incarnation(copy) == unpack_incarnation(session)
    )
