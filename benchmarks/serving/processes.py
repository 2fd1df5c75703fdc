"""Real processes, each on the core that it is given, which stand still while others are measured."""

import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class Process:
    """A process with all its children, on some cores. A context manager that ends it."""

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
        os.sched_setaffinity(0, cores)  # children begin where their parent is
        try:
            self.popen = subprocess.Popen(
                list(command),
                env={**os.environ, **(environment or {})},
                pass_fds=tuple(inherit),
                stdout=output,
                text=True,
                start_new_session=True,
            )
        finally:
            os.sched_setaffinity(0, mine)

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it with all its children at once: nothing of a benchmark is worth a goodbye."""
        if self.popen.poll() is None:
            for pid in self.family():
                _signal(pid, signal.SIGKILL)
            self.popen.wait()
        if self.popen.stdout:
            self.popen.stdout.close()

    def family(self) -> list[int]:
        """Return the ids of the process and of all that descend from it."""
        found = [self.popen.pid]
        for pid in found:  # grows while it is walked
            found += _children(pid)
        return found

    def pin(self, core: int) -> None:
        """Put all threads on one core; those that they start will be there, too."""
        for pid in self.family():
            with suppress(OSError):
                for task in _tasks(pid):
                    os.sched_setaffinity(int(task.name), {core})

    def freeze(self) -> None:
        """Stop it where it is: it takes no time from those that are measured."""
        for pid in self.family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self.family():
            _signal(pid, signal.SIGCONT)

    def finish(self) -> None:
        """Ask it to end, and wait until it has."""
        self.popen.terminate()
        self.popen.wait()

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used so far, children included."""
        return sum(cpu_s_of(pid) for pid in self.family())


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for task in _tasks(pid) for child in (task / "children").read_text().split()]
    return []


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def cpu_s_of(pid: int) -> float:
    """Return the time of a process on the CPU, all its threads', in seconds; 0 if it has ended."""
    with suppress(OSError):  # to the nanosecond, where `stat` counts ticks
        return sum(int((task / "schedstat").read_text().split()[0]) for task in _tasks(pid)) / 1e9
    return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
