"""Computes the chain of digests over the steps of a sequence, with hashlib or with a compiled kernel.

Each digest is one BLAKE2b of some fifty bytes: 0.2 us of arithmetic, and as much again for the calls from
Python. In a sequence of 1,000 steps with 32 hidden units that is a quarter of the work, so long chains are computed
by a kernel (`cellar.engine.kernel_library.blake2b`) in one call that releases the GIL. Until it is loaded, and for
short chains, hashlib computes them.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from ctypes import addressof, c_char, c_int64
from hashlib import blake2b

from cellar.errors import CompileFailed
from cellar.ports import DIGEST_BYTES

logger = logging.getLogger(__name__)

KERNEL_FROM = 12
"""The shortest chain for which the kernel is called: a call takes as long as half of that with hashlib."""

Kernel = Callable[[int], int]
"""A kernel, called with the address of its arguments."""

_ARGUMENTS = 6 * c_int64


class DigestChain:
    """Computes chains of digests, with the kernel as soon as it is loaded. Safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._load: Callable[[], Kernel] | None = None
        self._kernel: Kernel | None = None

    def load_with(self, load: Callable[[], Kernel]) -> None:
        """Set the function that loads the kernel, which may take seconds. A thread calls it at the first long chain."""
        self._load = load

    def last(self, digest: bytes, data: bytes, count: int) -> bytes:
        """Return the digest after `count` steps; `data` consists of equal parts, one for each step."""
        if kernel := self._kernel_for(count):
            return _run(kernel, digest, data, count, stride=0)
        for after in _by_hashlib(digest, data, count):
            digest = after
        return digest

    def each(self, digest: bytes, data: bytes, count: int) -> bytes:
        """Return the digests after each of `count` steps, joined."""
        if kernel := self._kernel_for(count):
            room = digest + bytes(DIGEST_BYTES * count)
            return _run(kernel, room, data, count, stride=DIGEST_BYTES)[DIGEST_BYTES:]
        return b"".join(_by_hashlib(digest, data, count))

    def _kernel_for(self, count: int) -> Kernel | None:
        """Return the kernel if the chain is long enough and the kernel is loaded; otherwise begin to load it."""
        if count < KERNEL_FROM:
            return None
        if self._kernel is None:
            with self._lock:
                load, self._load = self._load, None
            if load is not None:
                threading.Thread(target=self._take, args=(load,), name="load the digest chain", daemon=True).start()
        return self._kernel

    def _take(self, load: Callable[[], Kernel]) -> None:
        try:
            self._kernel = load()
        except CompileFailed as error:
            logger.warning("digests of sequences are computed in Python: %s", error.detail)


def _by_hashlib(digest: bytes, data: bytes, count: int) -> Iterator[bytes]:
    size = len(data) // count
    for start in range(0, count * size, size):
        digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
        yield digest


def _run(kernel: Kernel, digests: bytes, data: bytes, count: int, *, stride: int) -> bytes:
    """Run the kernel; return the joined digests, beginning with the one before the first step."""
    place, source = bytearray(digests), bytearray(data)
    size = len(data) // count
    arguments = _ARGUMENTS(_address(place), _address(source), count, size, DIGEST_BYTES, stride)
    kernel(addressof(arguments))
    return bytes(place)


def _address(data: bytearray) -> int:
    return addressof(c_char.from_buffer(data))


DIGEST_CHAIN = DigestChain()
"""The instance of the process; the kernel is the same for every session."""
