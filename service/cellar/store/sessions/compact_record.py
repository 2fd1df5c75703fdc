"""The compact form of a session, in which a process keeps the sessions that it does not use now: one bytes object.

It is the head as it is stored, the time of creation, the sizes of the next two parts, the number of commits that have
stored inputs in place of the state, the metadata as JSON with 0 for that time, the state, and the writers. It never
leaves the process, so it has no version.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any

from cellar.ports import NO_WRITERS, Position, SessionKey, SessionMeta, SessionRecord
from cellar.store.sessions.record_codec import HEAD, unpack_writers

_SIZES = Struct("<dIII")
"""Seconds since the Unix epoch; bytes of the metadata, bytes of the state; `SessionRecord.unstored`."""

_BEGIN = HEAD.size + _SIZES.size


def compact(record: SessionRecord, head: bytes, meta: bytes, writers: bytes) -> bytes:
    """Return a session in its compact form, given its packed parts."""
    state = record.state
    sizes = _SIZES.pack(record.meta.created_s, len(meta), len(state), record.unstored)
    return b"".join((head, sizes, meta, state, writers))


def split(data: bytes) -> tuple[bytes, float, int, bytes, bytes, bytes]:
    """Return head, time of creation, `unstored`, other metadata, state and writers of a compact form."""
    created_s, meta_bytes, state_bytes, unstored = _SIZES.unpack_from(data, HEAD.size)
    state = _BEGIN + meta_bytes
    end = state + state_bytes
    return data[: HEAD.size], created_s, unstored, data[_BEGIN:state], data[state:end], data[end:]


def expand(
    key: SessionKey, head: bytes, created_s: float, members: Sequence[Any], state: bytes, writers: bytes
) -> SessionRecord:
    """Return the session with these parts; `members` are those of its metadata."""
    _, incarnation, epoch, step, digest, revision, kernel_rev, _ = HEAD.unpack(head)
    model, model_digest, batch_size, ttl_s, _, *options = members
    meta = SessionMeta(model, model_digest, batch_size, kernel_rev, ttl_s, created_s, incarnation, *options)
    known = unpack_writers(writers) if writers else NO_WRITERS
    return SessionRecord(key, meta, Position(epoch, step, digest), revision, state, known)
