"""Blobs, which hold weights, checkpoints and datasets under their SHA-256: protocol of their store."""

from typing import Protocol


class BlobStore(Protocol):
    """Stores immutable bytes under their SHA-256. Synchronous and safe to call from several threads."""

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes and return their digest (lower-case hex). Bytes that are stored are not written again."""

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown."""

    def delete(self, digest: str) -> None:
        """Delete a blob; an unknown digest is no error."""
