"""A file that lets a client continue after its own crash."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from cellar_client.errors import StateFileInvalid

Floats = NDArray[np.float32]


MOST_BYTES = 2**20
"""Size above which a file is written again with its last line alone."""


class StateFile:
    """A file of lines, of which the last complete one is the present document in JSON.

    A line is appended in one write, and replaces all before it, so the document survives the end of the process at any
    point. It is not flushed to the disk: after a power failure it may be older than what was sent, and the positions
    and numbers in the service then show what was applied.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str, session: str) -> None:
        self.path = Path(path)
        self._owner = {"version": 1, "kind": kind, "session": session}
        self._open: int | None = None
        self._size = 0
        self._closing: Callable[[], object] | None = None
        """Closes the file, at the latest when this object is no longer used."""

    def load(self) -> dict[str, Any] | None:
        """Return the document, None if there is no file yet. Raise StateFileInvalid."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if not content:
            return None
        *lines, torn = content.split(b"\n")
        try:
            document = json.loads(lines[-1] if lines else torn)
        except ValueError as error:
            raise StateFileInvalid(f"{self.path} is not a state file: {error}") from error
        owner = {name: document.get(name) for name in self._owner} if isinstance(document, dict) else None
        if owner != self._owner:
            raise StateFileInvalid(f"{self.path} is of {owner}, and not of {self._owner}")
        found: dict[str, Any] = document
        return found

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document. Raise OSError."""
        line = json.dumps(self._owner | document).encode() + b"\n"
        if self._open is None or self._size > MOST_BYTES:
            self._begin(line)
        elif os.write(self._open, line) != len(line):
            raise OSError(f"{self.path} could not be written to its end")
        self._size += len(line)

    def _begin(self, line: bytes) -> None:
        """Replace the file by one with this line alone, and keep that open."""
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        new.write_bytes(line)
        new.replace(self.path)
        if self._closing is not None:
            self._closing()
        self._open, self._size = os.open(self.path, os.O_WRONLY | os.O_APPEND), 0
        self._closing = finalize(self, os.close, self._open)


def pack_array(array: Floats) -> dict[str, Any]:
    """Return an array as JSON, bit for bit."""
    return {"shape": list(array.shape), "float32": base64.b64encode(array.astype("<f4").tobytes()).decode()}


def unpack_array(document: dict[str, Any]) -> Floats:
    """Return the array that `pack_array` has packed."""
    return np.frombuffer(base64.b64decode(document["float32"]), "<f4").reshape(document["shape"])
