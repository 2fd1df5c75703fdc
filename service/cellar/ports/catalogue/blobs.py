"""Blobs, which hold weights, checkpoints and datasets under their SHA-256: protocol of their store."""

from collections.abc import Callable
from typing import IO, Protocol

import numpy as np
from numpy.typing import NDArray

from cellar.memory.file_mapping import Memory

Announce = Callable[[str], None]
"""Takes note of the digest of a blob that will be stored."""


class BlobStore(Protocol):
    """Stores immutable bytes under their SHA-256. Synchronous and safe to call from several threads."""

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes and return their digest (lower-case hex). Bytes that are stored are not written again."""

    def put_file(self, file: IO[bytes], announce: Announce | None = None) -> str:
        """Store the bytes of a file and return their digest; the store may keep the file itself.

        `announce` is called with the digest before anything is stored.
        """
        ...

    def map(self, digest: str) -> NDArray[np.uint8]:
        """Return the bytes, mapped from a file where that is possible. Raise BlobUnknown.

        Bytes that are mapped are not checked against the digest, because that would read all of them.
        """
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown."""

    def read(self, digest: str, memory: Memory) -> memoryview:
        """Return the bytes as `get` does, in memory of this kind. Raise StoreUnavailable if that has no room."""
        ...

    def delete(self, digest: str) -> None:
        """Delete a blob; an unknown digest is no error."""
