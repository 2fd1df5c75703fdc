"""Measures the time of a small write to the disk with fdatasync, for which every commit waits."""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

WRITES, SIZE_BYTES = 50, 4096


def sync_s(directory: Path) -> float:
    """Return the median seconds of an `fdatasync` after 4 KiB were appended to a file in a directory."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(WRITES):
            os.write(file.fileno(), bytes(SIZE_BYTES))
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begin)
    return median(times)
