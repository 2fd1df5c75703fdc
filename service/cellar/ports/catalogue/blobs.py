"""Blobs: weights, checkpoints and datasets, named by what they hold."""

from typing import Protocol


class BlobStore(Protocol):
    """Immutable bytes under their own sha256. Synchronous and safe to call from several threads."""

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest (lower-case hex). Storing again is free."""
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown."""
        ...

    def delete(self, digest: str) -> None:
        """Forget a blob; forgetting an unknown one is no error."""
        ...
