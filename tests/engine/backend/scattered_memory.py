"""Links an object file in a process whose free memory is in small pieces, gigabytes from each other: `python -m` FILE.

So may the memory of a service be that runs for weeks. Code reaches its constants over two gigabytes at most.
"""

import ctypes
import sys
from pathlib import Path

from cellar.engine.backend.loader import link

GIBIBYTE = 1 << 30
PAGE = 4096

PIECES = 16

_RESERVED = 0x22 | 0x4000
"""MAP_PRIVATE, MAP_ANONYMOUS and MAP_NORESERVE."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def reserve(size: int) -> int:
    """Return the address of memory that nothing else may have."""
    place: int = _libc.mmap(None, size, 0, _RESERVED, -1, 0)
    assert place != ctypes.c_void_p(-1).value
    return place


def scatter() -> None:
    """Leave pieces of one and of eight pages in turn as the first memory that the system gives."""
    base = reserve(PIECES * 3 * GIBIBYTE)
    for size in (1 << 28, 1 << 24, 1 << 20, 1 << 16, PAGE):  # what is free above
        while (place := reserve(size)) > base:
            pass
        _libc.munmap(place, size)
    for number in range(1, PIECES):
        assert _libc.munmap(base + number * 3 * GIBIBYTE, PAGE * (1 if number % 2 else 8)) == 0


if __name__ == "__main__":
    code = Path(sys.argv[1]).read_bytes()
    held = [link(code)]
    scatter()
    held += [link(code) for _ in range(6)]
    sys.stdout.write(f"{len(held)} copies\n")
