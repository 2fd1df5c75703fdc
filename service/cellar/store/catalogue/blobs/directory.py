"""Blobs as files in a directory that every API process and every worker mounts (CELLAR_BLOB_DIR)."""

import mmap
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from cellar.errors import BlobUnknown, StoreUnavailable
from cellar.memory.file_mapping import PIECE_BYTES, FileMapping, Memory, pieces, sha256
from cellar.ports.catalogue.blobs import Announce
from cellar.store.catalogue.blobs.parts import checked, read_parts

ABANDONED_S = 24 * 3600.0
"""Age after which a temporary file is deleted: no write of a blob takes a day."""

_DIGEST = re.compile("[0-9a-f]{64}")


class FileBlobs:
    """BlobStore in a directory: files `ab/ab12...` of mode 600 in directories of mode 700.

    A blob is written to a temporary file, synced and renamed, so that readers see all of it or nothing, and concurrent
    writers of the same bytes do no harm.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with _file_errors():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._sweep()

    def put(self, data: bytes | memoryview) -> str:
        """Store the bytes and return their digest. Raise StoreUnavailable."""
        digest = sha256(data)
        path = self._path(digest)
        with _file_errors():
            if not _holds(path, len(data)):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                self._write(path, data)
        return digest

    def put_file(self, file: IO[bytes], announce: Announce | None = None) -> str:
        """Store a file and return its digest, with which `announce` is called before. Raise StoreUnavailable.

        A nameless file of the same file system gets a name; another one is copied.
        """
        with _file_errors():
            data = memoryview(FileMapping(file.fileno(), 0, prot=mmap.PROT_READ))
            digest = sha256(data)
            path = self._path(digest)
            if announce is not None:
                announce(digest)
            if not _holds(path, len(data)):
                path.parent.mkdir(mode=0o700, exist_ok=True)
                os.fsync(file.fileno())
                try:
                    os.link(f"/proc/self/fd/{file.fileno()}", path, follow_symlinks=True)
                except FileExistsError:  # another process has stored it meanwhile
                    pass
                except OSError:
                    self._write(path, data)
                else:
                    _sync_directory(path.parent)
                    _sync_directory(self._directory)
        return digest

    def map(self, digest: str) -> NDArray[np.uint8]:
        """Return the bytes, mapped from their file and not checked. Raise BlobUnknown or StoreUnavailable."""
        with _file_errors():
            try:
                file = self._path(digest).open("rb", buffering=0)
            except FileNotFoundError:
                raise BlobUnknown(f"no blob {digest}") from None
            with file:
                return np.frombuffer(FileMapping(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest. Raise BlobUnknown, StoreCorrupt or StoreUnavailable."""
        with _file_errors():
            try:
                data = self._path(digest).read_bytes()
            except FileNotFoundError:
                raise BlobUnknown(f"no blob {digest}") from None
        return checked(data, digest)

    def read(self, digest: str, memory: Memory) -> memoryview:
        """Return the bytes as `get` does, in memory of this kind. Raise as `get`."""
        with _file_errors():
            try:
                file = self._path(digest).open("rb", buffering=0)
            except FileNotFoundError:
                raise BlobUnknown(f"no blob {digest}") from None
            with file:
                parts = iter(lambda: file.read(PIECE_BYTES), b"")
                return read_parts(parts, os.fstat(file.fileno()).st_size, digest, memory)

    def delete(self, digest: str) -> None:
        """Delete a blob. Raise StoreUnavailable."""
        with _file_errors():
            self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise BlobUnknown(f"not a digest: {digest!r}")
        return self._directory / digest[:2] / digest

    def _write(self, path: Path, data: bytes | memoryview) -> None:
        # mkstemp makes the file with mode 600
        descriptor, name = tempfile.mkstemp(prefix=".blob-", dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces(data):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
        _sync_directory(self._directory)

    def _sweep(self) -> None:
        """Delete temporary files of writers that were killed."""
        for path in self._directory.glob(".blob-*"):
            try:
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process sweeps too


def _holds(path: Path, size: int) -> bool:
    """Return whether the file exists with the right size; otherwise it is written again."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _sync_directory(directory: Path) -> None:
    """Sync a directory, without which a rename may not survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _file_errors() -> Iterator[None]:
    """Turn errors of the file system (no space, no permission, missing) into StoreUnavailable."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(f"the blob directory refuses: {error.strerror}") from error
