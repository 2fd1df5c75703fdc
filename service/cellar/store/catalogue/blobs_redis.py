"""Blobs in Redis: chunks in keys that contain the digest, and a head key that is written last."""

import hashlib
import io
from contextlib import suppress
from typing import Any

import redis

from cellar.errors import BlobUnknown, BodyTooLarge, StoreCorrupt, StoreUnavailable
from cellar.store.connection.scripts import Scripts
from cellar.store.protocol.errors import redis_errors

CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes in a chunk: Redis needs a few milliseconds to copy it, and all clients wait meanwhile."""

READ_BYTES = 256 * 1024
"""Of a chunk, read at a time: the reader of replies keeps a buffer of the longest one."""

UNFINISHED_S = 3600
"""Lifetime of the chunks of a blob whose writer died before the head was written, seconds."""

TRIES = 5
"""Tries of a write, because another process may delete the same blob between the chunks and the head."""

MAX_BLOB_BYTES = 64 * 1024 * 1024
"""Largest blob in Redis, which keeps everything in memory; larger ones need a directory (CELLAR_BLOB_DIR)."""


class RedisBlobs:
    """BlobStore in Redis. Keys: `{blob/<digest>}` holds the number of bytes, `{blob/<digest>}:<i>` the chunks."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._scripts = Scripts(client, "blob")

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes and return their digest. The head is written last: a blob with a head is complete.

        Raise BodyTooLarge or StoreUnavailable.
        """
        if len(data) > MAX_BLOB_BYTES:
            limit = MAX_BLOB_BYTES // 1024**2
            raise BodyTooLarge(
                f"a blob of {len(data) / 1024**2:.0f} MiB, and Redis keeps up to {limit} MiB: set CELLAR_BLOB_DIR"
            )
        digest = hashlib.sha256(data).hexdigest()
        keys = [self._head(digest), *self._chunks(digest, len(data))]
        with redis_errors():
            if self._client.exists(*keys) == len(keys) or self._store(data, keys):
                return digest
        raise StoreUnavailable("the blob is being deleted again and again", outcome="not_applied")

    def _store(self, data: bytes | memoryview, keys: list[str]) -> bool:
        """Write the chunks, then the head; return False if chunks were deleted in between each time."""
        try:
            for _ in range(TRIES):
                for index, key in enumerate(keys[1:]):
                    part = memoryview(data)[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
                    # an existing chunk is the same, and may be a part of a complete blob, which must not expire
                    self._client.set(key, part, ex=UNFINISHED_S, nx=True)
                if self._scripts.run("complete", keys, [len(data)]):
                    return True
        except redis.ResponseError:  # without this a Redis that is full would stay so for an hour
            with suppress(redis.RedisError):
                self._scripts.run("abandon", keys, [])
            raise
        return False

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown, StoreCorrupt or StoreUnavailable."""
        with redis_errors():
            head = self._client.get(self._head(digest))
            if head is None:
                raise BlobUnknown(f"no blob {digest}")
            data, count = self._read(self._chunks(digest, int(head)), int(head))
        if count != int(head):
            raise BlobUnknown(f"a part of blob {digest} is missing")
        return checked(data, digest)

    def _read(self, chunks: list[str], size: int) -> tuple[bytes, int]:
        """Return chunks one after the other, and how many bytes there were. They are in memory once."""
        whole = io.BytesIO()
        whole.seek(max(0, size - 1))
        whole.write(bytes(min(size, 1)))  # takes all memory at once
        whole.seek(0)
        count = 0
        for chunk in chunks:
            for begin in range(0, min(CHUNK_BYTES, size), READ_BYTES):
                part: Any = self._client.getrange(chunk, begin, begin + READ_BYTES - 1)
                count += whole.write(part)
        return whole.getvalue(), count

    def delete(self, digest: str) -> None:
        """Delete a blob with one command, so that no head is ever without its chunks. Raise StoreUnavailable."""
        with redis_errors():
            self._client.unlink(self._head(digest), *self._chunks(digest, MAX_BLOB_BYTES))

    def _head(self, digest: str) -> str:
        return f"{self._prefix}:{{blob/{digest}}}"

    def _chunks(self, digest: str, size: int) -> list[str]:
        count = max(1, -(-size // CHUNK_BYTES))
        return [f"{self._head(digest)}:{index}" for index in range(count)]


def checked(data: bytes, digest: str) -> bytes:
    """Return the bytes if they have this digest. Raise StoreCorrupt."""
    if hashlib.sha256(data).hexdigest() != digest:
        raise StoreCorrupt(f"blob {digest} is damaged")
    return data
