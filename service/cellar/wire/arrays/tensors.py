"""Reads and writes states as safetensors files, with a float32 array (rows, size) named `layers.<number>.<name>` each.

The length of the header, and that it is JSON without a name that occurs twice, are checked before the
library reads it. The library checks that the arrays fill the file without gaps and overlaps.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from cellar.errors import CellarError, InvalidInput, MalformedBody
from cellar.wire.json.document import decode

MEDIA_TYPE = "application/safetensors"

MAX_HEADER_BYTES = 256 * 1024
"""The most bytes of a header, enough for two thousand states with some hundred bytes each."""

_LENGTH_BYTES = 8
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
    _check_header(data)
    try:
        found = deserialize(data)
    except SafetensorError as error:
        raise MalformedBody(f"not a safetensors file: {error}") from error
    return {_place(name): _array(name, tensor["dtype"], tensor["shape"], tensor["data"]) for name, tensor in found}


def _check_header(data: bytes) -> None:
    size = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES + size or not 0 < size <= MAX_HEADER_BYTES:
        raise MalformedBody(
            f"not a safetensors file: a header of 1 to {MAX_HEADER_BYTES} bytes must follow, and all of it", offset=0
        )
    try:
        decode(data[_LENGTH_BYTES : _LENGTH_BYTES + size])
    except CellarError as error:
        raise MalformedBody(f"the header of the safetensors file: {error.detail}", offset=_LENGTH_BYTES) from error


def _place(name: str) -> tuple[int, str]:
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidInput("not the name of a state", expected="layers.<number>.<name>", actual=name[:80])
    return int(match[1]), match[2]


def _array(name: str, kind: str, shape: list[int], data: bytes) -> Floats:
    if kind != "F32":
        raise InvalidInput(f"the state {name} is no float32", expected="F32", actual=kind)
    return np.frombuffer(data, dtype="<f4").reshape(shape)
