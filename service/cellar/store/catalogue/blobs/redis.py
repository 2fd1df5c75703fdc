"""Blobs in Redis: chunks in keys that contain the digest, and a head key that is written last."""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import numpy as np
import redis
from numpy.typing import NDArray

from cellar.errors import BlobUnknown, BodyTooLarge, StoreUnavailable
from cellar.memory.file_mapping import FileMapping, Memory, in_memory, pieces, sha256
from cellar.ports.catalogue.blobs import Announce
from cellar.store.catalogue.blobs.parts import joined, read_parts
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

    def __init__(self, client: redis.Redis, prefix: str, *, directory_setting: str = "CELLAR_BLOB_DIR") -> None:
        """`directory_setting` names the directory in which blobs may be larger, for errors."""
        self._client = client
        self._prefix = prefix
        self._setting = directory_setting
        self._scripts = Scripts(client, "blob")

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes, with the head last, and return their digest. Raise BodyTooLarge or StoreUnavailable."""
        if len(data) > MAX_BLOB_BYTES:
            limit = MAX_BLOB_BYTES // 1024**2
            raise BodyTooLarge(
                f"a blob of {len(data) / 1024**2:.0f} MiB, and Redis keeps up to {limit} MiB: set {self._setting}"
            )
        digest = sha256(data)
        keys = [self._head(digest), *self._chunks(digest, len(data))]
        with redis_errors():
            if self._client.exists(*keys) == len(keys) or self._store(data, keys):
                return digest
        raise StoreUnavailable("the blob is being deleted again and again", outcome="not_applied")

    def put_file(self, file: IO[bytes], announce: Announce | None = None) -> str:
        """Store the bytes of a file and return their digest. Raise BodyTooLarge or StoreUnavailable."""
        data = memoryview(FileMapping(file.fileno(), 0, prot=mmap.PROT_READ))
        if announce is not None and len(data) <= MAX_BLOB_BYTES:
            announce(sha256(data))
        return self.put(data)

    def map(self, digest: str) -> NDArray[np.uint8]:
        """Return the bytes in memory. Raise as `get`."""
        return np.frombuffer(self.read(digest, in_memory), np.uint8)

    def _store(self, data: bytes | memoryview, keys: list[str]) -> bool:
        """Write the chunks, then the head; return False if chunks were deleted in between each time."""
        try:
            for _ in range(TRIES):
                for key, part in zip(keys[1:], pieces(data, CHUNK_BYTES), strict=True):
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
        if (small := self._small(digest)) is not None:
            return small
        size = self._size(digest)
        with redis_errors():
            return joined(self._parts(digest, size), size, digest)

    def read(self, digest: str, memory: Memory) -> memoryview:
        """Return the bytes as `get` does, in memory of this kind. Raise as `get`."""
        if (small := self._small(digest)) is not None:
            return memoryview(small)
        size = self._size(digest)
        with redis_errors():
            return read_parts(self._parts(digest, size), size, digest, memory)

    def _small(self, digest: str) -> bytes | None:
        """Return a blob that is read at once, in one round trip; None for others, and for all that is in doubt."""
        with redis_errors():
            found: Any = self._client.getrange(self._chunks(digest, 0)[0], 0, READ_BYTES - 1)
        whole = bytes(found)
        return whole if 0 < len(whole) < READ_BYTES and sha256(whole) == digest else None

    def _size(self, digest: str) -> int:
        """Return the number of bytes of a blob. Raise BlobUnknown."""
        with redis_errors():
            head: Any = self._client.get(self._head(digest))
            if head is None:
                raise BlobUnknown(f"no blob {digest}")
            return int(head)

    def _parts(self, digest: str, size: int) -> Iterator[bytes]:
        """Yield the bytes of a blob, one part after the other."""
        for chunk in self._chunks(digest, size):
            for begin in range(0, min(CHUNK_BYTES, size), READ_BYTES):
                part: Any = self._client.getrange(chunk, begin, begin + READ_BYTES - 1)
                yield part

    def delete(self, digest: str) -> None:
        """Delete a blob with one command, so that no head is ever without its chunks. Raise StoreUnavailable."""
        with redis_errors():
            self._client.unlink(self._head(digest), *self._chunks(digest, MAX_BLOB_BYTES))

    def _head(self, digest: str) -> str:
        return f"{self._prefix}:{{blob/{digest}}}"

    def _chunks(self, digest: str, size: int) -> list[str]:
        count = max(1, -(-size // CHUNK_BYTES))
        return [f"{self._head(digest)}:{index}" for index in range(count)]
