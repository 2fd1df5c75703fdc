"""Makes the C library return large freed blocks, such as weights and matrices, to the operating system."""

import ctypes
from contextlib import suppress

LARGE_BYTES = 4 * 1024 * 1024

_M_MMAP_THRESHOLD = -3
"""Of mallopt(3)."""


def give_back_when_freed() -> None:
    """Have the C library take large blocks from the operating system one by one, and return each when it is freed.

    By itself glibc does so only until the first large block was freed. From then on it takes blocks up to that size
    (at most 32 MiB) from its heaps, which keep them; those of threads keep them for good. Other C libraries have
    neither this function nor this habit.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
