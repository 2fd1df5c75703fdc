"""The file of a backup: blocks of records, and a digest of everything before it.

::

    magic       8 bytes, CELLARB1
    block       number of bytes (u32), records compressed with zlib; repeated; the first block holds the header, as JSON
    end         0 (u32), number of bytes (u32), the trailer as JSON: numbers of keys and files
    digest      SHA-256 of all bytes before it, 32 bytes

    record      number of bytes (u32), number of parts (u32), the parts, each with its number of bytes (u32)

All numbers are little endian. A file without its end, or with another digest, is refused as a whole.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

from cellar.errors import StoreCorrupt

MAGIC = b"CELLARB1"

BLOCK_BYTES = 4 * 1024 * 1024
"""Size of records, before their compression, after which a block ends."""

MOST_BLOCK_BYTES = 1 << 30

DIGEST_BYTES = 32

READ_BYTES = 1024 * 1024

LEVEL = 1
"""Of zlib: states and weights hardly become smaller, and the network of a backup is faster than level 6."""

_NUMBER = struct.Struct("<I")

Record = list[bytes]


class ArchiveWriter:
    """Writes a backup to a file that is open for writing."""

    def __init__(self, file: BinaryIO, header: dict[str, Any]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._records: list[bytes] = []
        self._size = 0
        self._put(MAGIC)
        self._block(json.dumps(header).encode())

    def add(self, parts: Sequence[bytes]) -> None:
        """Add a record."""
        pieces = [piece for part in parts for piece in (_NUMBER.pack(len(part)), part)]
        text = b"".join([_NUMBER.pack(len(parts)), *pieces])
        self._records += [_NUMBER.pack(len(text)), text]
        self._size += len(text)
        if self._size >= BLOCK_BYTES:
            self._flush()

    def finish(self, trailer: dict[str, Any]) -> None:
        """Write the end."""
        self._flush()
        text = json.dumps(trailer).encode()
        self._put(_NUMBER.pack(0) + _NUMBER.pack(len(text)) + text)
        self._file.write(self._digest.digest())

    def _flush(self) -> None:
        if self._records:
            self._block(b"".join(self._records))
            self._records, self._size = [], 0

    def _block(self, text: bytes) -> None:
        packed = zlib.compress(text, LEVEL)
        self._put(_NUMBER.pack(len(packed)) + packed)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


class ArchiveReader:
    """Reads a backup that was checked. A context manager. Raise StoreCorrupt if it is damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        try:
            self._check()
            self.rewind()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def rewind(self) -> None:
        """Begin again with the first record."""
        self._file.seek(len(MAGIC))
        self.header: dict[str, Any] = json.loads(self._next_block())

    def records(self) -> Iterator[Record]:
        """Yield the records, after which `trailer` returns the end."""
        while block := self._next_block():
            at = 0
            while at < len(block):
                (size,) = _NUMBER.unpack_from(block, at)
                yield _parts(block, at + _NUMBER.size)
                at += _NUMBER.size + size

    def trailer(self) -> dict[str, Any]:
        """Return the end of the file, when all records were read."""
        (size,) = _NUMBER.unpack(self._file.read(_NUMBER.size))
        found: dict[str, Any] = json.loads(self._file.read(size))
        return found

    def _check(self) -> None:
        """Raise StoreCorrupt unless the file is whole."""
        size = self._path.stat().st_size
        if self._file.read(len(MAGIC)) != MAGIC:
            raise StoreCorrupt(f"{self._path} is no backup of Cellar")
        digest, left = hashlib.sha256(MAGIC), size - len(MAGIC) - DIGEST_BYTES
        while left > 0 and (part := self._file.read(min(READ_BYTES, left))):
            digest.update(part)
            left -= len(part)
        if self._file.read(DIGEST_BYTES) != digest.digest():
            raise StoreCorrupt(f"{self._path} is damaged, or was not written to its end: use another backup")

    def _next_block(self) -> bytes:
        """Return a block, empty at the end."""
        (size,) = _NUMBER.unpack(self._file.read(_NUMBER.size))
        if size > MOST_BLOCK_BYTES:
            raise StoreCorrupt(f"{self._path} is damaged")
        return zlib.decompress(self._file.read(size)) if size else b""


def _parts(block: bytes, at: int) -> Record:
    (count,) = _NUMBER.unpack_from(block, at)
    at += _NUMBER.size
    found = []
    for _ in range(count):
        (size,) = _NUMBER.unpack_from(block, at)
        at += _NUMBER.size
        found.append(block[at : at + size])
        at += size
    return found
