"""Blobs in Redis: chunks under the digest, and a head that is written last."""

import hashlib

import redis

from cellar.errors import BlobUnknown, BodyTooLarge, StoreCorrupt, StoreUnavailable
from cellar.store.connect import redis_errors

CHUNK_BYTES = 4 * 1024 * 1024
"""Redis and everybody else who waits stand still for a few milliseconds while it copies this much."""

UNFINISHED_S = 3600
"""What was stored of a blob whose writer died, or was refused half way, is gone after this."""

TRIES = 5
"""Somebody may delete the same blob between the chunks and the head."""

MAX_BLOB_BYTES = 64 * 1024 * 1024
"""A Redis that keeps sessions in memory is no place for more; a directory (CELLAR_BLOB_DIR) is."""


class RedisBlobs:
    """BlobStore in Redis. Keys: `{blob/<digest>}` holds the number of bytes, `{blob/<digest>}:<i>` the chunks."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def put(self, data: bytes) -> str:
        """Store the bytes and return their digest. The head comes last: what has a head is whole.

        Raise BodyTooLarge or StoreUnavailable.
        """
        if len(data) > MAX_BLOB_BYTES:
            limit = MAX_BLOB_BYTES // 1024**2
            raise BodyTooLarge(
                f"a blob of {len(data) / 1024**2:.0f} MiB, and Redis keeps up to {limit} MiB: set CELLAR_BLOB_DIR"
            )
        digest = hashlib.sha256(data).hexdigest()
        head, chunks = self._head(digest), self._chunks(digest, len(data))
        with redis_errors():
            if self._client.exists(head, *chunks) == 1 + len(chunks):
                return digest
            for _ in range(TRIES):
                for index, key in enumerate(chunks):
                    part = memoryview(data)[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
                    # a chunk that is there is the same, and perhaps part of a whole blob, which must not expire
                    self._client.set(key, part, ex=UNFINISHED_S, nx=True)
                if self._complete(head, chunks, len(data)):
                    return digest
        raise StoreUnavailable("the blob is being deleted again and again", outcome="not_applied")

    def _complete(self, head: str, chunks: list[str], size: int) -> bool:
        """Keep the chunks and write the head, all at once; return False if a chunk is gone meanwhile."""
        with self._client.pipeline(transaction=True) as together:
            together.set(head, size)
            for key in chunks:
                together.persist(key)
            together.exists(*chunks)
            there = together.execute()[-1]
        if there == len(chunks):
            return True
        self._client.delete(head)
        return False

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown, StoreCorrupt or StoreUnavailable."""
        with redis_errors():
            head = self._client.get(self._head(digest))
            if head is None:
                raise BlobUnknown(f"no blob {digest}")
            parts = [self._client.get(key) for key in self._chunks(digest, int(head))]
        data = b"".join(part for part in parts if isinstance(part, bytes))
        if len(data) != int(head):
            raise BlobUnknown(f"a part of blob {digest} is missing")
        return checked(data, digest)

    def delete(self, digest: str) -> None:
        """Forget a blob, head first. Raise StoreUnavailable."""
        with redis_errors():
            head = self._client.getdel(self._head(digest))
            size = MAX_BLOB_BYTES if head is None else int(head)
            self._client.unlink(*self._chunks(digest, size))

    def _head(self, digest: str) -> str:
        return f"{self._prefix}:{{blob/{digest}}}"

    def _chunks(self, digest: str, size: int) -> list[str]:
        count = max(1, -(-size // CHUNK_BYTES))
        return [f"{self._head(digest)}:{index}" for index in range(count)]


def checked(data: bytes, digest: str) -> bytes:
    """Return the bytes if they are what the digest says. Raise StoreCorrupt."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise StoreCorrupt(f"blob {digest} is damaged")
    return data
