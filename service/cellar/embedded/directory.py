"""Directories of the private Redis, and two locks that tell whether it runs and whether services use it.

::

    <data directory>/        mode 700
        server.lock          locked exclusively by the running Redis itself: it inherits the lock, so that the lock
                             lives exactly as long as the server, even if the process that started it ends
        users.lock           locked shared by each service that uses the Redis; the last one can lock it exclusively
        socket               path of the running server's socket
        release              kind and version of the server that wrote the data
        appendonly*          the data
        redis.log
    <runtime directory>/     mode 700, short
        redis.sock
"""

import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from cellar.embedded.binary import Release
from cellar.errors import StartupError

SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket on Linux: sun_path holds 108 bytes with the zero."""

ROOM_BYTES = 1024 * 1024
"""Free space that a server needs to start, bytes."""

LOG_BYTES = 64 * 1024
"""Most bytes that are read of a server's log."""


class Directory:
    """The paths of one private Redis. Directories are created when needed; StartupError if they are not safe to use."""

    def __init__(self, data: Path, runtime: Path | None = None) -> None:
        self.data = data
        _make_private(data)
        self._runtime = runtime or _default_runtime(data)

    @property
    def log(self) -> Path:
        """Return the path of the server's log."""
        return self.data / "redis.log"

    def new_socket(self) -> Path:
        """Return the path for a new server's socket, and create its directory."""
        path = self._runtime / "redis.sock"
        check_socket_path(str(path))
        _make_private(self._runtime)
        if self._read("socket") != str(path):
            self._write("socket", str(path))
        return path

    def check_room(self) -> None:
        """Raise StartupError unless ROOM_BYTES can be written: a server on a full disk ends at its first write."""
        try:
            with tempfile.TemporaryFile(dir=self.data) as file:
                os.posix_fallocate(file.fileno(), 0, ROOM_BYTES)
        except OSError as error:
            raise StartupError(
                f"{ROOM_BYTES} bytes cannot be written in {self.data}: {error.strerror}; make room there"
            ) from error

    def log_size(self) -> int:
        """Return the size of the server's log, bytes."""
        return self.log.stat().st_size if self.log.exists() else 0

    def read_log(self, start: int) -> str:
        """Return the server's log from byte `start` to its end, at most the last LOG_BYTES."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(start, self.log_size() - LOG_BYTES))
            return file.read().decode(errors="replace")

    def socket(self) -> Path | None:
        """Return the path of the newest server's socket, None before the first start."""
        text = self._read("socket")
        return Path(text) if text else None

    def remove_socket(self) -> None:
        """Remove the socket of a server that has ended."""
        path = self.socket()
        if path:
            path.unlink(missing_ok=True)
        if path and path.parent == _default_runtime(self.data):
            with suppress(OSError):  # it is not empty, or already removed
                path.parent.rmdir()

    def written_by(self) -> Release | None:
        """Return the release of the server that wrote the data, None if there are none."""
        return Release.parse(self._read("release"))

    def set_written_by(self, release: Release) -> None:
        """Record the release of the server that writes the data from now on."""
        if self.written_by() != release:
            self._write("release", str(release))

    def lock_server(self) -> int | None:
        """Return the locked descriptor that the new server must inherit, None if a server is running."""
        descriptor = self._open("server.lock")
        return descriptor if _try_lock(descriptor) else None

    def join(self) -> int:
        """Register this process as a user and return the descriptor of its lock.

        Waits while the last user stops the server.
        """
        descriptor = self._open("users.lock")
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    @staticmethod
    def leave(descriptor: int) -> bool:
        """Deregister this process; return True if it was the last user.

        New users then wait until it closes the descriptor.
        """
        # The shared lock is released before the exclusive one is requested: if two users that leave at the same time
        # converted their locks in place, neither might be the last. This way at least one is.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return _lock(descriptor)

    def _read(self, name: str) -> str:
        path = self.data / name
        return path.read_text().strip() if path.exists() else ""

    def _write(self, name: str, text: str) -> None:
        fresh = self.data / f"{name}.new"
        fresh.write_text(text + "\n")
        fresh.replace(self.data / name)

    def _open(self, name: str) -> int:
        return os.open(self.data / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def check_socket_path(path: str) -> None:
    """Raise StartupError if a path is too long for a Unix socket."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise StartupError(
            f"the socket path {path} is longer than {SOCKET_PATH_BYTES} bytes: set CELLAR_RUNTIME_DIR to shorten it"
        )


def runtime_directory(data: Path, runtime: Path | None) -> Path:
    """Return the directory for sockets, which is created if needed: `runtime`, or a short path that depends on `data`.

    Raise StartupError if it is not safe to use.
    """
    path = runtime or _default_runtime(data)
    _make_private(path)
    return path


def _try_lock(descriptor: int) -> bool:
    """Lock exclusively without waiting; close the descriptor if another process has the lock."""
    if _lock(descriptor):
        return True
    os.close(descriptor)
    return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _default_runtime(data: Path) -> Path:
    """Return a short path of a directory, which depends on the data directory and not on the environment.

    $XDG_RUNTIME_DIR is removed when its user logs out, and the service may run longer.
    """
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    return Path("/tmp", f"cellar-{os.geteuid()}-{name}")  # noqa: S108  # its owner and mode are checked


def _make_private(path: Path) -> None:
    """Create a directory that only this user can enter, and missing parents with the same mode.

    A parent may be the data directory of another service: the demo's is inside that of the user.
    """
    try:
        for directory in (*reversed(path.parents), path):
            if not directory.exists():
                directory.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise StartupError(f"cannot use the directory {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode):
        raise StartupError(f"{path} must be a directory, and is a file or a link: remove it, or set another one")
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StartupError(f"{path} must be a directory of this user that no other user may enter: chmod 700 {path}")
