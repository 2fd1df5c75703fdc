"""The private Redis' directories and the two locks that say who runs it and who uses it.

::

    <data directory>/        mode 700
        server.lock          locked exclusively by the running Redis itself: it inherits the lock, so that the lock
                             lives exactly as long as the server, whatever becomes of the process that started it
        users.lock           locked shared by each service that uses the Redis; who gets it alone was the last
        socket               path of the running server's socket
        release              which server wrote the data
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
"""What must be free for a server to start."""

LOG_BYTES = 64 * 1024
"""The most that is read of a server's log."""


class Directory:
    """The places of one private Redis. Made on first use; raise StartupError where they cannot be used safely."""

    def __init__(self, data: Path, runtime: Path | None = None) -> None:
        self.data = data
        _make_private(data)
        self._runtime = runtime or _default_runtime(data)

    @property
    def log(self) -> Path:
        """Return where the server logs."""
        return self.data / "redis.log"

    def new_socket(self) -> Path:
        """Return the path for a new server's socket, its directory made."""
        path = self._runtime / "redis.sock"
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
            raise StartupError(
                f"the socket path {path} is longer than {SOCKET_PATH_BYTES} bytes: set CELLAR_RUNTIME_DIR to shorten it"
            )
        _make_private(self._runtime)
        if self._read("socket") != str(path):
            self._write("socket", str(path))
        return path

    def check_room(self) -> None:
        """Raise StartupError unless ROOM_BYTES can be written: a server without room would end with its first write."""
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
        """Return the end of the server's log from byte `start` on, LOG_BYTES of it at most."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            file.seek(max(start, self.log_size() - LOG_BYTES))
            return file.read().decode(errors="replace")

    def socket(self) -> Path | None:
        """Return the path of the newest server's socket, None if there never was one."""
        text = self._read("socket")
        return Path(text) if text else None

    def remove_socket(self) -> None:
        """Clean up after a server that has ended."""
        path = self.socket()
        if path:
            path.unlink(missing_ok=True)
        if path and path.parent == _default_runtime(self.data):
            with suppress(OSError):  # Something else lies there, or it is gone already.
                path.parent.rmdir()

    def written_by(self) -> Release | None:
        """Return which server wrote the data, None if nothing was written."""
        return Release.parse(self._read("release"))

    def set_written_by(self, release: Release) -> None:
        """Record which server writes the data from now on."""
        if self.written_by() != release:
            self._write("release", str(release))

    def lock_server(self) -> int | None:
        """Return the locked descriptor that the new server must inherit; None if a server holds the lock."""
        descriptor = self._open("server.lock")
        return descriptor if _try_lock(descriptor) else None

    def join(self) -> int:
        """Count this process among the users and return the descriptor that says so.

        Waits while a last user stops the server.
        """
        descriptor = self._open("users.lock")
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    @staticmethod
    def leave(descriptor: int) -> bool:
        """Stop counting; return True if this process was the last.

        Newcomers then wait until it closes the descriptor.
        """
        # Released first and asked for again: of two that leave at once, each converting its shared lock in place,
        # none might be the last. So at least one is.
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


def _try_lock(descriptor: int) -> bool:
    """Lock alone and without waiting; close the descriptor if another has the lock."""
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
    """Return a short directory that is the same for every service on this data, whatever its environment.

    Not $XDG_RUNTIME_DIR: it vanishes when its user logs out, and the service need not end then.
    """
    name = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    return Path("/tmp", f"cellar-{os.geteuid()}-{name}")  # noqa: S108  # its owner and mode are checked


def _make_private(path: Path) -> None:
    """Make a directory that nobody else may enter, and its parents too, where they are missing.

    One of them may be the data directory of another service: the demo's stands in that of the user's own.
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
        raise StartupError(f"{path} must be a directory of this user that nobody else may enter: chmod 700 {path}")
