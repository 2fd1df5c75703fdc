"""A file that lets a client continue after its own crash."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar_client.errors import StateFileInvalid

Floats = NDArray[np.float32]


class StateFile:
    """A JSON document that is replaced as a whole: a reader finds the old one or the new one, never a part.

    The document survives the end of the process at any point. It is not flushed to the disk, so after a power failure
    it may be older than what was sent; the positions and numbers in the service then show what was applied.
    """

    def __init__(self, path: str | os.PathLike[str], kind: str, session: str) -> None:
        self.path = Path(path)
        self._owner = {"version": 1, "kind": kind, "session": session}
        self._next = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")

    def load(self) -> dict[str, Any] | None:
        """Return the document, None if there is no file yet. Raise StateFileInvalid."""
        try:
            document = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StateFileInvalid(f"{self.path} is not a state file: {error}") from error
        owner = {name: document.get(name) for name in self._owner} if isinstance(document, dict) else None
        if owner != self._owner:
            raise StateFileInvalid(f"{self.path} is of {owner}, and not of {self._owner}")
        found: dict[str, Any] = document
        return found

    def save(self, document: dict[str, Any]) -> None:
        """Replace the document. Raise OSError."""
        self._next.write_text(json.dumps(self._owner | document))
        self._next.replace(self.path)


def pack_array(array: Floats) -> dict[str, Any]:
    """Return an array as JSON, bit for bit."""
    return {"shape": list(array.shape), "float32": base64.b64encode(array.astype("<f4").tobytes()).decode()}


def unpack_array(document: dict[str, Any]) -> Floats:
    """Return the array that `pack_array` has packed."""
    return np.frombuffer(base64.b64decode(document["float32"]), "<f4").reshape(document["shape"])
