"""A pool of scratch memory that is used again: fresh memory costs a page fault for every 4 KiB."""

import math
import threading

import numpy as np

from cellar.engine.execution.arrays import Bytes, Floats, address, aligned

KEPT_SCRATCH_BYTES = 512 * 1024 * 1024
"""Idle memory that the process keeps for later calls."""


class Scratch:
    """Bytes that begin at a multiple of 64. When the object is deleted its memory goes back to the pool."""

    __slots__ = ("_pool", "address", "memory")

    def __init__(self, pool: "ScratchPool", memory: Bytes) -> None:
        self._pool = pool
        self.memory = memory
        self.address = address(memory)

    def __del__(self) -> None:
        self._pool.give_back(self.memory)


class ScratchPool:
    """Idle memory by size, in powers of two. Thread-safe."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._idle: dict[int, list[Bytes]] = {}
        self.idle_bytes = 0
        """Bytes that are kept for later calls."""
        self._lock = threading.RLock()
        """Re-entrant: a garbage collection that begins under the lock may delete `Scratch` objects."""

    def take(self, length: int, *, clear: bool) -> Scratch:
        """Return memory of at least `length` bytes; with `clear` these are zeros."""
        size = 1 << max(12, (length - 1).bit_length())
        with self._lock:
            idle = self._idle.get(size)
            memory = idle.pop() if idle else None
            if memory is not None:
                self.idle_bytes -= size
        if memory is None:
            memory = aligned(size, clear=clear)
        elif clear:
            memory[:length] = 0
        return Scratch(self, memory)

    def give_back(self, memory: Bytes) -> None:
        """Keep memory for later calls, unless the limit is reached."""
        with self._lock:
            if self.idle_bytes + memory.nbytes <= self._kept_bytes:
                self._idle.setdefault(memory.nbytes, []).append(memory)
                self.idle_bytes += memory.nbytes


ARENAS = ScratchPool(KEPT_SCRATCH_BYTES)
"""The pool of the process."""


class WorkspacePart:
    """Bytes of a workspace, which begin at a multiple of 64. Their contents are undefined."""

    __slots__ = ("_block", "address", "memory")

    def __init__(self, block: Scratch, memory: Bytes) -> None:
        self._block = block  # which goes back to the pool with its last part
        self.memory = memory
        self.address = address(memory)


class Workspace:
    """A block of memory for several recordings that never run at the same time: each takes its parts from the start.

    A run destroys what the other recordings have left in their parts. What does not fit is memory of its own.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._block = ARENAS.take(length, clear=False)
        self.used = 0
        """Bytes that were taken since the start, also those that did not fit."""

    def restart(self) -> None:
        """Begin the parts of another recording."""
        self.used = 0

    def take(self, length: int) -> WorkspacePart:
        """Return the next part."""
        begin, self.used = self.used, self.used + room(length)
        if self.used > self.length:
            return WorkspacePart(self._block, aligned(length))
        return WorkspacePart(self._block, self._block.memory[begin : begin + length])

    def floats(self, shape: tuple[int, ...]) -> Floats:
        """Return the next part as an array."""
        return self.take(4 * math.prod(shape)).memory.view(np.float32).reshape(shape)


def room(length: int) -> int:
    """Return the bytes of a workspace that a part of `length` bytes takes."""
    return -(-length // 64) * 64
