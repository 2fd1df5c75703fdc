"""Reads arrays and attributes of an HDF5 file by a separate process (`hdf5_reader`), with limited time and memory."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from cellar.errors import ImportRefused
from cellar.interchange.tensors import float32_array

Array = NDArray[np.float32]

TIMEOUT_S = 60.0
"""Of the process: twice the processor time that it may take."""


@dataclass(frozen=True, slots=True)
class Hdf5Contents:
    """Arrays by path, and the attributes of groups."""

    model: str | None
    """The configuration as JSON, of a file that has it inside."""
    version: str
    """Of Keras."""
    layers: Mapping[str, str]
    """The names of layers by the path of their group of arrays."""
    lists: Mapping[str, list[str]]
    """In the older form: names of arrays in order, by the path of the layer."""
    arrays: Mapping[str, NDArray[Any]]

    def array(self, path: str) -> Array:
        """Return an array as float32. Raise ImportRefused if it is missing, or not of finite float32 numbers."""
        if path not in self.arrays:
            raise ImportRefused(f"the array {path!r} is missing", place=path)
        return float32_array(self.arrays[path], path)


def hdf5_contents(file: Path, place: str) -> Hdf5Contents:
    """Return the contents of a file. Raise ImportRefused with the faulty part or, for a damaged file, `place`."""
    if find_spec("h5py") is None:
        raise ImportRefused(
            "files of Keras are read by h5py, which is not installed",
            place=place,
            remedy="pip install 'cellar-serve[keras]'",
        )
    with tempfile.TemporaryDirectory(prefix="cellar-") as folder:
        command = [sys.executable, "-m", "cellar.interchange.keras.hdf5_reader", str(file.resolve()), folder]
        try:
            ended = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise _damaged(place, "reading it does not end") from None
        answer = Path(folder) / "contents.json"
        if ended.returncode != 0 or not answer.exists():
            raise _damaged(place, f"the process that reads it ended with {ended.returncode}")
        found = json.loads(answer.read_text())
        if "refused" in found:
            raise ImportRefused(**found["refused"])
        return Hdf5Contents(**found, arrays=load_file(Path(folder) / "arrays.safetensors"))


def _damaged(place: str, how: str) -> ImportRefused:
    return ImportRefused(
        f"the HDF5 file is damaged: {how}", place=place, remedy="save the model with `model.save('model.keras')`"
    )
