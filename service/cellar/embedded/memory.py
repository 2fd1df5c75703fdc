"""The memory that this process and its children may use."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Files with the memory limit of the control group, of cgroup version 2 and of version 1."""


def memory_bytes(limits: Sequence[Path] = LIMITS) -> int:
    """Return the memory of the machine, or of the control group if that has less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found = min(found, int(path.read_text()))
    return found
