"""Real processes, each on the core that it is given, which stand still while others are measured."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_S = 20.0
"""How long a process may take to end before it is killed."""

_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A process with all its children. A context manager that ends it."""

    def __init__(
        self,
        command: Sequence[str],
        core: int,
        *,
        environment: Mapping[str, str] | None = None,
        inherit: Sequence[int] = (),
        output: int | None = None,
    ) -> None:
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # children begin where their parent is
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
        """End it, and its children that outlive it."""
        family = self.family()
        self.thaw()
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.communicate(timeout=PATIENCE_S)
        for pid in family:
            _signal(pid, signal.SIGKILL)
        self.popen.wait()

    def family(self) -> list[int]:
        """Return the ids of the process and of all that descend from it."""
        found = [self.popen.pid]
        for pid in found:  # grows while it is walked
            found += _children(pid)
        return found

    def freeze(self) -> None:
        """Stop it where it is: it takes no time from those that are measured."""
        for pid in self.family():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in self.family():
            _signal(pid, signal.SIGCONT)

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used so far, children included."""
        return sum(_cpu_s(pid) for pid in self.family())


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process, in seconds; 0 if it has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
