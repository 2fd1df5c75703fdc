"""Encodes and decodes the compact form of a session, in which a process keeps the sessions that it does not use now.

It is a bytes object: the head as it is stored, when the session was created, the sizes of the next two parts, its other
metadata as JSON, its state, its writers. It never leaves the process, so it has no version.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

from cellar.ports import NO_WRITERS, Position, SessionKey, SessionMeta, SessionRecord
from cellar.store.sessions.record_codec import HEAD_FORMAT, pack_meta, pack_writers, unpack_meta, unpack_writers

_HEAD_AND_SIZES = Struct(f"{HEAD_FORMAT}dII")
_SIZES = Struct("<dII")
"""When it was created, and the bytes of its metadata and of its state."""


def compact(record: SessionRecord, head: bytes) -> bytes:
    """Return a session in its compact form. `head` is its head as it is stored."""
    meta = pack_meta(record.meta, 0)
    sizes = _SIZES.pack(record.meta.created_s, len(meta), len(record.state))
    writers = pack_writers(record.writers) if record.writers.all else b""
    return b"".join((head, sizes, meta, record.state, writers))


def expand(key: SessionKey, data: bytes) -> SessionRecord:
    """Return the session with this compact form."""
    (_, incarnation, epoch, step, digest, revision, kernel_rev, _, created_s, meta_bytes, state_bytes) = (
        _HEAD_AND_SIZES.unpack_from(data)
    )
    begin = _HEAD_AND_SIZES.size
    end = begin + meta_bytes
    model, model_digest, batch_size, ttl_s, _, *options = _members(data[begin:end])
    meta = SessionMeta(model, model_digest, batch_size, kernel_rev, ttl_s, created_s, incarnation, *options)
    state = data[end : end + state_bytes]
    last = end + state_bytes
    writers = unpack_writers(data[last:]) if last < len(data) else NO_WRITERS
    return SessionRecord(key, meta, Position(epoch, step, digest), revision, state, writers)


@lru_cache(maxsize=1024)
def _members(meta: bytes) -> Sequence[Any]:
    """Return the members of packed metadata, which many sessions share."""
    return unpack_meta(meta)
