"""Blobs, which hold weights, checkpoints and datasets under their SHA-256: protocol of their store."""

from typing import Protocol

from cellar.memory.file_mapping import Memory


class BlobStore(Protocol):
    """Stores immutable bytes under their SHA-256. Synchronous and safe to call from several threads."""

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes and return their digest (lower-case hex). Bytes that are stored are not written again."""

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown."""

    def read(self, digest: str, memory: Memory) -> memoryview:
        """Return the bytes as `get` does, in memory of this kind. Raise StoreUnavailable if that has no room."""
        ...

    def delete(self, digest: str) -> None:
        """Delete a blob; an unknown digest is no error."""
