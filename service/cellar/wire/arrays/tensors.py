"""Reads and writes states as safetensors files: float32 arrays (rows, size) named `layers.<number>.<name>`."""

import math
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from cellar.errors import InvalidInput
from cellar.wire.arrays.tensor_file import BytesSource, TensorFile

MEDIA_TYPE = "application/safetensors"

_NAME = re.compile(r"layers\.(0|[1-9][0-9]{0,3})\.([^\W\d]\w{0,63})", re.ASCII)

Floats = NDArray[np.float32]


def dump(states: Mapping[tuple[int, str], Floats], about: Mapping[str, str]) -> bytes:
    """Return states, by layer and name, as a file; `about` is its metadata."""
    named = {f"layers.{layer}.{name}": np.ascontiguousarray(each, "<f4") for (layer, name), each in states.items()}
    return save(named, dict(about))


def load(data: bytes) -> dict[tuple[int, str], Floats]:
    """Return the states of a file by layer and name, read-only. The metadata are ignored.

    Raise MalformedBody if the file is damaged, InvalidInput for an invalid name or a type other than float32.
    """
    states = {}
    for name, tensor in TensorFile(BytesSource(data)).tensors.items():
        if tensor.dtype != "F32":
            raise InvalidInput(f"the state {name} is no float32", expected="F32", actual=tensor.dtype)
        values = np.frombuffer(data, "<f4", math.prod(tensor.shape), tensor.start)
        states[_place(name)] = values.reshape(tensor.shape)
    return states


def _place(name: str) -> tuple[int, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidInput("not the name of a state", expected="layers.<number>.<name>", actual=name[:80])
    return int(match[1]), match[2]
