"""The listening sockets of the api processes. The parent holds them, so that connections wait while a process restarts.

On Linux each slot has a TCP socket of its own on the same port (SO_REUSEPORT), and the kernel distributes connections
among them. Elsewhere SO_REUSEPORT does not distribute, and all processes accept from one socket.
"""

import fcntl
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cellar.embedded.directory import check_socket_path, runtime_directory
from cellar.errors import StartupError

BACKLOG = 2048
"""Connections of a socket that can wait while its process is restarted."""

HAS_REUSE_PORT = sys.platform.startswith("linux")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port, 0 for a free port. Raise StartupError if the port is in use."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartupError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error


@contextmanager
def listeners(host: str, port: int, slots: int, *, reuse_port: bool = HAS_REUSE_PORT) -> Iterator[list[socket.socket]]:
    """Yield one listening socket for each slot, or a single one without `reuse_port`. Raise as `listen`."""
    with ExitStack() as stack:
        first = stack.enter_context(listen(host, port))
        found = [first]
        if reuse_port and slots > 1:
            # Only now: with the option from the start, a second service could listen on a port that is in use.
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            address = first.getsockname()[:2]
            for _ in range(1, slots):
                further = socket.create_server(address, family=first.family, backlog=BACKLOG, reuse_port=True)
                found.append(stack.enter_context(further))
        yield found


@contextmanager
def peer_listeners(data: Path, runtime: Path | None, slots: int) -> Iterator[list[socket.socket]]:
    """Yield one listening Unix socket for each slot, in a private directory of this service.

    It is inside `runtime`, by default a short path that depends on `data`. Directories of services that were killed are
    removed. Raise StartupError if the paths would be too long.
    """
    parent = runtime_directory(data, runtime)
    with ExitStack() as stack:
        directory = stack.enter_context(_locked_directory(parent))
        found = []
        for slot in range(slots):
            path = str(directory / f"{slot}.sock")
            check_socket_path(path)
            end = stack.enter_context(socket.socket(socket.AF_UNIX))
            end.bind(path)
            Path(path).chmod(0o600)
            end.listen(BACKLOG)
            found.append(end)
        yield found
    if runtime is None:
        with suppress(OSError):  # others use it
            parent.rmdir()


@contextmanager
def _locked_directory(parent: Path) -> Iterator[Path]:
    """Yield a new directory, which is locked as long as this process lives, and remove it at the end."""
    for path in parent.glob("api-*"):
        with suppress(OSError):  # its service lives
            descriptor = _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            os.close(descriptor)
    path, descriptor = _new_directory(parent)
    try:
        yield path
    finally:
        shutil.rmtree(path)
        os.close(descriptor)


def _new_directory(parent: Path) -> tuple[Path, int]:
    """Return a new directory and the descriptor of its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix="api-", dir=parent))
        with suppress(FileNotFoundError):  # another service has removed it before it was locked
            descriptor = _lock(path, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def _lock(path: Path, operation: int) -> int:
    """Lock a directory and return the descriptor of the lock. Raise OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
