"""The processes of a job that has several: the first one starts the others, which compute shards of its batches.

The first process writes an epoch and an update to the standard input of each, and reads a line when the shards are
computed. Arrays are in memory that all inherit. A process that has died is started again and computes its shards once
more, which gives the same bits.
"""

import logging
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import IO, Self

from cellar.errors import Unavailable
from cellar.nn.training.shards.team import SHARDS, Memory, shards_of
from cellar.process import end_with_parent

logger = logging.getLogger(__name__)

COMMAND = "import sys; from cellar.main import help_job; help_job(*sys.argv[1:])"

MOST_DEATHS = 3
"""Deaths of processes during one update after which the job fails."""


class Helpers:
    """The other processes of a job, seen from the first one: a context that ends them."""

    def __init__(self, tenant: str, job: str, processes: int) -> None:
        self.shards: Sequence[int] = shards_of(0, processes)
        self._arguments = [tenant, job]
        self._count = min(processes, SHARDS)
        self._descriptor: int | None = None
        self.running: dict[int, subprocess.Popen[bytes]] = {}
        self._asked = b""

    def memory(self, size: int) -> Memory:
        """Make the memory, and start the processes, which prepare while the first one does."""
        self._descriptor = os.memfd_create("cellar-job", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, size)
        for number in range(1, self._count):
            self._start(number)
        return mmap.mmap(self._descriptor, size)

    def begin(self, epoch: int, update: int) -> None:
        """Have the others compute their shards of an update."""
        self._asked = b"%d %d\n" % (epoch, update)
        for each in self.running.values():
            _send(each, self._asked)

    def finish(self) -> None:
        """Wait until they have computed them, and start those again that have died. Raise Unavailable."""
        deaths = 0
        for number in [*self.running]:
            while not _receive(self.running[number]):
                deaths += 1
                status = self.running[number].wait()
                logger.warning("job %s: its process %d has died (status %d)", self._arguments[1], number, status)
                if deaths >= MOST_DEATHS:
                    raise Unavailable(f"the processes of the job died again and again: status {status}")
                _close(self.running[number])
                self._start(number)
                _send(self.running[number], self._asked)

    def _start(self, number: int) -> None:
        assert self._descriptor is not None
        numbers = [self._descriptor, number, self._count, os.getpid()]
        self.running[number] = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *self._arguments, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._descriptor],
        )

    def __enter__(self) -> Self:
        """Return the team; its processes are started when the memory is made."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the processes."""
        for each in self.running.values():
            each.kill()
            each.wait()
            _close(each)
        if self._descriptor is not None:
            os.close(self._descriptor)


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    """Write a line to a process; one that has died is found when its answer is read."""
    assert process.stdin is not None
    try:
        process.stdin.write(line)
        process.stdin.flush()
    except BrokenPipeError:
        return


def _receive(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the line of a process; return False if it has died."""
    assert process.stdout is not None
    return process.stdout.readline() == b"\n"


def _close(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        try:
            stream.close()
        except BrokenPipeError:
            continue


class Helping:
    """One of the other processes, seen from itself."""

    def __init__(self, descriptor: int, number: int, processes: int, parent: int) -> None:
        """Answer on the standard output from now on; what else is written there goes to the standard error."""
        end_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process
        self.shards: Sequence[int] = shards_of(number, processes)
        self._descriptor = descriptor
        self._answers: IO[bytes] = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)

    def memory(self, size: int) -> Memory:
        """Map the memory that the first process has made."""
        return mmap.mmap(self._descriptor, size)

    def asked(self) -> Iterator[tuple[int, int]]:
        """Yield epoch and update of the shards to compute, and answer when they are computed."""
        for line in sys.stdin.buffer:
            epoch, update = map(int, line.split())
            yield epoch, update
            self._answers.write(b"\n")
