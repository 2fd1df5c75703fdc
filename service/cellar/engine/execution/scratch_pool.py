"""A pool of scratch memory that is used again: fresh memory costs a page fault for every 4 KiB."""

import threading

from cellar.engine.execution.arrays import Bytes, address, aligned

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
