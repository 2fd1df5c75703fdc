"""Temporary files in a directory of the service: uploads while they arrive, and weights while they are read.

The files have no name, so that they vanish with the process, even if it is killed. Where the file system has no such
files, a name exists for a moment; those that a killed process left behind are deleted at the next start.
"""

import functools
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cellar.errors import StoreUnavailable
from cellar.memory.file_mapping import map_file

logger = logging.getLogger(__name__)

PREFIX = ".temporary-"


class TemporaryFiles:
    """Nameless files in a directory. Files that a killed process has left there are deleted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for path in directory.glob(f"{PREFIX}*"):
            path.unlink(missing_ok=True)

    @functools.cached_property
    def directory(self) -> Path:
        """The directory, which is created, or that of the system if this one cannot be written."""
        try:
            for directory in (self._directory.parent, self._directory):  # `parents` alone get the usual mode
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._directory):
                return self._directory
        except OSError as error:
            logger.warning("%s cannot be used for temporary files: %s", self._directory, error.strerror)
            return Path(tempfile.gettempdir())

    def open(self) -> IO[bytes]:
        """Return a new file, open for reading and writing. Raise StoreUnavailable."""
        with file_errors():
            return self._open()

    def _open(self) -> IO[bytes]:
        flag = getattr(os, "O_TMPFILE", None)
        if flag is not None:
            with suppress(OSError):  # the file system, or an old kernel, has none
                return os.fdopen(os.open(self.directory, os.O_RDWR | os.O_CLOEXEC | flag, 0o600), "w+b")
        descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=self.directory)
        Path(name).unlink(missing_ok=True)
        return os.fdopen(descriptor, "w+b")

    def allocate(self, size: int) -> NDArray[np.uint8]:
        """Return `size` bytes of a new file, which is deleted with the last array that refers to them.

        Small ones are in memory. Raise StoreUnavailable.
        """
        if size < SMALL_BYTES:
            return np.empty(size, np.uint8)
        with file_errors(), self._open() as file:
            return map_file(file.fileno(), size)


@contextmanager
def file_errors() -> Iterator[None]:
    """Turn errors of the file system, such as a full disk, into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"a temporary file cannot be written: {error.strerror}") from error


SMALL_BYTES = 1024 * 1024
"""Below this size a file costs more than it saves."""
