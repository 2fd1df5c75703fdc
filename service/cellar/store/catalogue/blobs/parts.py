"""Blobs that are read part by part, and checked against their digests."""

import hashlib
import io
from collections.abc import Iterable

import numpy as np

from cellar.errors import BlobUnknown, StoreCorrupt
from cellar.memory.file_mapping import PIECE_BYTES, Memory, release_pages, sha256


def joined(parts: Iterable[bytes], size: int, digest: str) -> bytes:
    """Return the parts of a blob as bytes, which are in memory once. Raise BlobUnknown or StoreCorrupt."""
    whole = io.BytesIO()
    whole.seek(max(0, size - 1))
    whole.write(bytes(min(size, 1)))  # takes all memory at once
    whole.seek(0)
    if sum(whole.write(part) for part in parts) != size:
        raise _incomplete(digest)
    return checked(whole.getvalue(), digest)


def read_parts(parts: Iterable[bytes], size: int, digest: str, memory: Memory) -> memoryview:
    """Return the parts of a blob in memory of that kind. Raise BlobUnknown, StoreCorrupt or StoreUnavailable."""
    whole = memory(size)
    found, stop, released = hashlib.sha256(), 0, 0
    for part in parts:
        begin, stop = stop, stop + len(part)
        if stop > size:
            break
        whole[begin:stop] = np.frombuffer(part, np.uint8)
        found.update(part)
        if stop - released >= PIECE_BYTES:
            release_pages(whole)
            released = stop
    if stop != size:
        raise _incomplete(digest)
    if found.hexdigest() != digest:
        raise _damaged(digest)
    return whole.data


def checked(data: bytes, digest: str) -> bytes:
    """Return the bytes if they have this digest. Raise StoreCorrupt."""
    if sha256(data) != digest:
        raise _damaged(digest)
    return data


def _incomplete(digest: str) -> BlobUnknown:
    return BlobUnknown(f"a part of blob {digest} is missing")


def _damaged(digest: str) -> StoreCorrupt:
    return StoreCorrupt(f"blob {digest} is damaged")
