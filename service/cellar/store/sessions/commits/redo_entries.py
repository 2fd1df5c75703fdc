"""Encodes and decodes redo entries: steps whose inputs a commit has stored in place of the state."""

import struct
import zlib
from collections.abc import Iterable, Sequence

from cellar.errors import StoreCorrupt
from cellar.ports import RedoEntry
from cellar.store.sessions.record_codec import needs_redo, unpack_revision

_BEGIN = struct.Struct("<QII?")
"""revision, changes, steps, whether the rest is compressed. `lua/session/read_redo.lua` reads the revision.

The rest is the inputs, or the size of the row flags, these flags, and the inputs."""

_SIZE = struct.Struct("<I")


def pack_redo(entry: RedoEntry) -> bytes:
    """Return a packed entry. With flags it is compressed: the inputs of rows that are left out are zeros."""
    flags = entry.row_flags
    begin = _BEGIN.pack(entry.revision, entry.changes, entry.steps, bool(flags))
    return begin + (zlib.compress(_SIZE.pack(len(flags)) + flags + entry.inputs, 1) if flags else entry.inputs)


def unpack_redo(head: bytes, packed: Iterable[bytes]) -> Sequence[RedoEntry]:
    """Return the entries of a session with this head, which lead to its revision. Raise StoreCorrupt."""
    if not needs_redo(head):
        return ()
    found = [_unpack(entry) for entry in packed]
    ends = [entry.revision + entry.changes for entry in found]
    if not found or ends != [*[entry.revision for entry in found[1:]], unpack_revision(head)]:
        raise StoreCorrupt("a session record without the inputs of its last steps")
    return tuple(found)


def _unpack(data: bytes) -> RedoEntry:
    try:
        revision, changes, steps, is_compressed = _BEGIN.unpack_from(data)
        inputs, flags = data[_BEGIN.size :], b""
        if is_compressed:
            both = zlib.decompress(inputs)
            end = _SIZE.size + _SIZE.unpack_from(both)[0]
            flags, inputs = both[_SIZE.size : end], both[end:]
    except (struct.error, zlib.error) as error:
        raise StoreCorrupt("a session record with damaged inputs of its last steps") from error
    return RedoEntry(revision, changes, steps, inputs, flags)


def unpack_copied_state(head: bytes, data: bytes) -> tuple[bytes, Sequence[RedoEntry]]:
    """Return the state of a copy and its entries, as `lua/session/copy.lua` joins them. Raise StoreCorrupt."""
    if not needs_redo(head):
        return data, ()
    parts: list[bytes] = []
    at = 0
    while at + _SIZE.size <= len(data):
        begin = at + _SIZE.size
        at = begin + _SIZE.unpack_from(data, at)[0]
        parts.append(data[begin:at])
    if at != len(data) or not parts:
        raise StoreCorrupt("a damaged copy of a session")
    return parts[0], unpack_redo(head, parts[1:])
