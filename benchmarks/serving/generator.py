"""The load generator as its parent sees it."""

import socket
import sys
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from benchmarks.serving.load import Found, Job
from benchmarks.serving.processes import Process


class Generator:
    """A process that makes load, on a core. A context manager."""

    def __init__(self, core: int) -> None:
        self._stack = ExitStack()
        mine, its = socket.socketpair()
        with its:
            command = [sys.executable, "-m", "benchmarks.serving.load", str(its.fileno())]
            self.process = self._stack.enter_context(Process(command, {core}, inherit=[its.fileno()]))
        self._connection = self._stack.enter_context(Connection(mine.detach()))

    def __enter__(self) -> Self:
        """Return the generator."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._stack.__exit__(kind, error, trace)

    def run(self, job: Job) -> Found:
        """Make the load and return what was measured. Raise what went wrong: Refused, OSError ..."""
        self._connection.send(job)
        found = self._connection.recv()
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Found)
        return found
