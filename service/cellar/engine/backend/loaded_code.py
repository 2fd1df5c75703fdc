"""Keeps loaded kernels in memory: all that are in use, and the most recently used others.

Users send any number of equations. A process that kept every kernel would grow without bound, and each kernel takes
three of the 65,530 mappings that Linux allows.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import NamedTuple
from weakref import WeakValueDictionary

from cellar.engine.backend.loader import NativeFunction

KEPT_KERNELS = 256
"""Limit of the kernels that stay without a reference."""

KEPT_CODE_BYTES = 16 * 1024 * 1024
"""Limit of the sum of their sizes. The kernels of a large cell are some 50 KB, and take a millisecond to load again."""


class Footprint(NamedTuple):
    """Kernels in memory, and the bytes of their machine code."""

    kernels: int
    size_bytes: int


class LoadedKernels:
    """Kernels by key. Thread-safe: the first thread that claims a kernel makes it, others wait for its result."""

    def __init__(self, kept_kernels: int = KEPT_KERNELS, kept_bytes: int = KEPT_CODE_BYTES) -> None:
        self._kept_kernels = kept_kernels
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._alive: WeakValueDictionary[str, NativeFunction] = WeakValueDictionary()
        """Every kernel in memory."""
        self._kept: OrderedDict[str, NativeFunction] = OrderedDict()
        """The kernels that this object references, the one used last at the end."""
        self._made: dict[str, Future[NativeFunction]] = {}
        """The kernels that a thread has claimed and is making."""

    def claim(self, keys: Collection[str]) -> tuple[dict[str, Future[NativeFunction]], list[str]]:
        """Return a future for each key, and the keys that the caller must now make, to `complete` or to `fail`."""
        with self._lock:
            found = {key: code for key in keys if (code := self._alive.get(key)) is not None}
            missing = dict.fromkeys(key for key in keys if key not in found)
            claimed = [key for key in missing if key not in self._made]
            self._made |= {key: Future() for key in claimed}
            futures = {key: self._made[key] for key in missing}
            dropped = self._keep(found)
        del dropped  # not under the lock: to unload takes a while
        return futures | {key: _done(code) for key, code in found.items()}, claimed

    def complete(self, found: Mapping[str, NativeFunction]) -> None:
        """Give the kernels that the caller has claimed and made to all threads that wait for them."""
        with self._lock:
            self._alive.update(found)
            futures = {key: self._made.pop(key) for key in found}
            dropped = self._keep(found)
        del dropped
        for key, future in futures.items():
            future.set_result(found[key])

    def fail(self, keys: Iterable[str], error: BaseException) -> None:
        """Raise an error in all threads that wait for kernels of these keys. The keys may be claimed again."""
        with self._lock:
            futures = [self._made.pop(key) for key in keys if key in self._made]
        for future in futures:
            future.set_exception(error)

    @property
    def footprint(self) -> Footprint:
        """Return how many kernels are in memory, and their size."""
        alive = list(self._alive.values())
        return Footprint(len(alive), sum(code.size_bytes for code in alive))

    def _keep(self, used: Mapping[str, NativeFunction]) -> list[NativeFunction]:
        """Reference the kernels that were just used; return those, used longest ago, that exceed the limits."""
        for key, code in used.items():
            self._kept[key] = code
            self._kept.move_to_end(key)
        size_bytes = sum(code.size_bytes for code in self._kept.values())
        dropped = []
        while len(self._kept) > self._kept_kernels or size_bytes > self._kept_bytes:
            _, code = self._kept.popitem(last=False)
            size_bytes -= code.size_bytes
            dropped.append(code)
        return dropped


def _done(code: NativeFunction) -> Future[NativeFunction]:
    future: Future[NativeFunction] = Future()
    future.set_result(code)
    return future
