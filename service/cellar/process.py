"""Requests of a process to its operating system: more open files, the end with its parent, freed memory returned.

And the identity of a process, from which others of its host can tell later whether it has ended.
"""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

RESERVED_FILES = 256
"""Open files that are reserved for Redis, the compiler, the kernel cache and the log."""

LARGE_BYTES = 1024 * 1024
"""The scratch memory of a network of a thousand units has some megabytes, and its matrices four each."""

AUTOGROUP = Path("/proc/self/autogroup")
"""The group of this session and its nice value; there is none without the autogroup feature, or on other systems."""

BOOT = Path("/proc/sys/kernel/random/boot_id")
"""Names the time from one start of the machine to the next; that of a container is that of its host."""

PID_NAMESPACE = Path("/proc/self/ns/pid")
"""Names the process ids that this process sees: a container has its own."""

_M_MMAP_THRESHOLD = -3
"""Of mallopt(3)."""

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when the thread that started it ends."""


def allow_all_files() -> int:
    """Raise the limit of open files to the hard limit; return the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def connections_within(most: int, files: int) -> int:
    """Return how many connections, at most `most`, fit into a limit of open files, with some files in reserve.

    >>> connections_within(16384, 1024), connections_within(16384, 10**6), connections_within(16384, 64)
    (768, 16384, 32)
    """
    return min(most, max(files - RESERVED_FILES, files // 2))


def return_large_blocks() -> None:
    """Have the C library return large freed blocks, such as weights, to the operating system.

    By itself glibc does so only until the first large block was freed. From then on it takes blocks up to that size
    (at most 32 MiB) from its heaps, which keep them; those of threads keep them for good. Other C libraries have
    neither this function nor this habit.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def yield_to_others(nice: int) -> None:
    """Lower the priority of this thread, and of what it starts from now on, to that nice value (0 to 19).

    Threads that run already keep theirs. A lower value than the present one needs privileges, and is ignored.

    Linux may share a processor among sessions (setsid), whatever the nice values of their processes (sched(7), the
    autogroup feature). So the session gets the value too if this process or its parent leads it: it has nothing else
    than a worker then.
    """
    if nice > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        if os.getsid(0) in (os.getpid(), os.getppid()):
            with suppress(OSError):
                AUTOGROUP.write_text(str(nice))


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process as soon as the process `parent`, which started it, has ended.

    On other systems than Linux an orphan keeps running. A training job is not run twice then, because it has a lease.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent has died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def identity() -> str | None:
    """Return a text that names this process alone, among those of all hosts and containers, also later ones.

    None on other systems than Linux.
    """
    found = _visible(), _started(os.getpid())
    return None if None in found else f"{found[0]}.{os.getpid()}.{found[1]}"


def has_ended(process: str) -> bool:
    """Return whether the process with an identity has ended; False if this process cannot know, or for another text."""
    visible, _, rest = process.partition(".")
    pid, _, started = rest.partition(".")
    if visible != _visible() or not (pid.isdecimal() and started.isdecimal()):
        return False
    try:
        with suppress(PermissionError):  # it runs as another user
            os.kill(int(pid), 0)  # /proc may hide the processes of other users
    except ProcessLookupError:
        return True
    return _started(int(pid)) not in (started, None)


def _visible() -> str | None:
    """Return the scope of process ids: the start of the machine and the namespace, None without Linux."""
    try:
        return f"{BOOT.read_text().strip()}/{PID_NAMESPACE.stat().st_ino}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Return when a process has started, in ticks since the machine has: "" if it has ended, None if it is hidden."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] in "ZX" else fields[19]
