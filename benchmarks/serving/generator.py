"""Starts the load generator as a child process, and sends it loads."""

import socket
import sys
from contextlib import ExitStack
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from benchmarks.serving.load import Found, Job
from benchmarks.serving.processes import Process


class Generator:
    """A load generator in its own process, on a given core. A context manager."""

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
        """Run a load and return the measurement. Raise the exception of the child: Refused, OSError ..."""
        self._connection.send(job)
        found = self._connection.recv()
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Found)
        return found
