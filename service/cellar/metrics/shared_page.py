"""Memory that the processes of a service share for their snapshots. The parent makes it; children inherit it.

Each place of a process has a region with two halves. A process writes a snapshot into the half that is not current, and
then makes that half the current one: a process that is killed while it writes leaves the snapshot before. The next
process of a region continues its counters, so they never decrease while the service runs.
"""

import mmap
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator

HALF_BYTES = 256 * 1024
"""A snapshot with 100 models has 30 KB. Pages that are never written take no memory."""

REGION_BYTES = 2 * HALF_BYTES + mmap.PAGESIZE

_CURRENT = struct.Struct("<Q")
"""The number of the current snapshot of a region, from 1, at its start; 0 without one. Odd ones are in half 1."""

_HEAD = struct.Struct("<QII")
"""Before each snapshot: its number, its length, and its CRC-32."""

TRIES = 8
"""How often a snapshot is read that is being replaced: a process writes two a second."""


class SharedPage:
    """The regions of all processes of a service."""

    def __init__(self, descriptor: int) -> None:
        """Map the memory of a descriptor, which this object closes."""
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, 0)
        self.regions = len(self._memory) // REGION_BYTES

    @classmethod
    def create(cls, regions: int) -> "SharedPage":
        """Return new memory. Children inherit its descriptor only where it is passed to them."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("cellar-metrics", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, regions * REGION_BYTES)
        return cls(descriptor)

    def close(self) -> None:
        """Unmap the memory."""
        self._memory.close()
        os.close(self.descriptor)

    def __enter__(self) -> "SharedPage":
        """Return the page."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the page."""
        self.close()

    def write(self, region: int, snapshot: bytes) -> bool:
        """Replace the snapshot of a region; return False if it is too long. Each region has one writer at a time."""
        if len(snapshot) > HALF_BYTES - _HEAD.size:
            return False
        start = region * REGION_BYTES
        number = _CURRENT.unpack_from(self._memory, start)[0] + 1
        at = self._half(start, number)
        self._memory[at + _HEAD.size : at + _HEAD.size + len(snapshot)] = snapshot
        _HEAD.pack_into(self._memory, at, number, len(snapshot), zlib.crc32(snapshot))
        _CURRENT.pack_into(self._memory, start, number)
        return True

    def read(self, region: int) -> bytes | None:
        """Return the snapshot of a region, None if there is none."""
        start = region * REGION_BYTES
        for _ in range(TRIES):
            number = _CURRENT.unpack_from(self._memory, start)[0]
            if not number:
                return None
            at = self._half(start, number)
            own, size, checksum = _HEAD.unpack_from(self._memory, at)
            data = self._memory[at + _HEAD.size : at + _HEAD.size + min(size, HALF_BYTES)]
            if own == number and zlib.crc32(data) == checksum:
                return data
        return None

    def read_all(self) -> Iterator[tuple[int, bytes]]:
        """Yield the snapshots of all regions, with the numbers of the regions."""
        for region in range(self.regions):
            data = self.read(region)
            if data is not None:
                yield region, data

    @staticmethod
    def _half(start: int, number: int) -> int:
        return start + mmap.PAGESIZE + number % 2 * HALF_BYTES
