"""Runs processes on given cores, and freezes them while others are measured."""

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cellar.process import end_with_parent


class Process:
    """A process with all its children, on given cores, which ends with this one. A context manager that kills it."""

    def __init__(
        self,
        command: Sequence[str],
        cores: Collection[int],
        *,
        environment: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
        output: int | None = None,
    ) -> None:
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # children start on the cores of their parent
        try:
            self.popen = subprocess.Popen(
                list(command),
                env={**os.environ, **(environment or {})},
                pass_fds=tuple(inherit),
                stdout=output,
                text=True,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, os.getpid()),  # noqa: PLW1509  # started on the one thread
            )
        finally:
            os.sched_setaffinity(0, mine)

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it with all its children."""
        if self.popen.poll() is None:
            for pid in self.family():
                _signal(pid, signal.SIGKILL)
            self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()

    def family(self) -> list[int]:
        """Return the ids of the process and of all that descend from it."""
        return family_of(self.popen.pid)

    def pin(self, core: int) -> None:
        """Put all threads on one core; threads that they start inherit it."""
        self.allow({core})

    def allow(self, cores: Collection[int]) -> None:
        """Put all threads on these cores; threads that they start inherit them."""
        for pid in self.family():
            with suppress(OSError):
                for task in _tasks(pid):
                    os.sched_setaffinity(int(task.name), cores)

    def freeze(self) -> None:
        """Freeze it, so that it takes no time from what is measured."""
        for pid in self.family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it."""
        for pid in self.family():
            _signal(pid, signal.SIGCONT)

    def finish(self) -> None:
        """Terminate it, and wait until it has ended."""
        self.popen.terminate()
        self.popen.wait()

    def cpu_s(self) -> float:
        """Return the CPU time that it has used so far, children included, in seconds."""
        return sum(cpu_s_of(pid) for pid in self.family())


def family_of(parent: int) -> list[int]:
    """Return the ids of a process and of all that descend from it."""
    found = [parent]
    for pid in found:  # the list grows during the loop
        found += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for task in _tasks(pid) for child in (task / "children").read_text().split()]
    return []


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def cpu_s_of(pid: int) -> float:
    """Return the CPU time of all threads of a process, in seconds; 0 if it has ended."""
    with suppress(OSError):  # in nanoseconds; `stat` has a resolution of a tick
        return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e9
    return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
