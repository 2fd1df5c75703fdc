"""The memory and the processors of this machine, or of the control group of this process if that has less."""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
"""Where control groups are mounted: version 2 itself, each controller of version 1 in a directory."""

OWN_GROUP = Path("/proc/self/cgroup")
"""The paths of this process's control groups, `0::/path` for version 2. In a container the path is `/`."""

_share = 1


def memory_bytes(limits: Sequence[Path] | None = None) -> int:
    """Return the memory of the machine, or of the control group if that has less, bytes.

    `limits` are files with a limit of the group.
    """
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _limits("memory.max", "memory/memory.limit_in_bytes") if limits is None else limits:
        with suppress(OSError, ValueError):  # no such file, or "max"
            found = min(found, int(path.read_text()))
    return found


def processors(quotas: Sequence[Path] | None = None) -> int:
    """Return how many processors this process may use: those of its affinity, and of the quota of its control group.

    `quotas` are files with a quota and a period, microseconds. A part of a processor counts as a whole one.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for path in _limits("cpu.max", "cpu/cpu.cfs_quota_us") if quotas is None else quotas:
        with suppress(OSError, ValueError):  # no such file, or "max"
            quota_us, *period = path.read_text().split()
            period_us = period[0] if period else path.with_name("cpu.cfs_period_us").read_text()
            if int(quota_us) > 0:  # -1 is no quota in version 1
                found = min(found, math.ceil(int(quota_us) / int(period_us)))
    return found


def share_processors(processes: int) -> None:
    """Divide the processors among this number of processes, of which this is one.

    It must be called before the engine is imported, which reads `threads` once.
    """
    global _share  # noqa: PLW0603  # one for each process
    _share = processes


def threads() -> int:
    """Return this process's part of the processors, at least 1: how many kernels it runs at a time."""
    return math.ceil(processors() / _share)


def _limits(name: str, older: str) -> Iterator[Path]:
    """Yield the files of a limit: of this group and of those around it in version 2, and of version 1."""
    with suppress(OSError, StopIteration):
        own = next(line for line in OWN_GROUP.read_text().splitlines() if line.startswith("0::"))
        group = CGROUPS / own.removeprefix("0::").lstrip("/")
        for each in (group, *group.parents):
            if each.is_relative_to(CGROUPS):
                yield each / name
    yield CGROUPS / older


def resident_bytes(process: str = "self") -> int:
    """Return the resident memory of a process, bytes; 0 if it has ended, or without the file system of Linux."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def children_of(pid: int) -> list[int]:
    """Return the processes that the main thread of a process has started and that run; none without Linux."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
