"""Reads and writes weights as safetensors files of float32 arrays. Equal weights give equal bytes."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save as _save

from cellar.errors import ImportRefused, InvalidInput, MalformedBody, NotFinite
from cellar.memory.file_mapping import Memory, all_finite, in_memory
from cellar.wire.arrays.tensor_file import BytesSource, TensorFile

Array = NDArray[np.float32]
Shape = tuple[int, ...]


def dump(weights: Mapping[str, Array]) -> bytes:
    """Return float32 arrays of any shape as one safetensors file, ordered by name."""
    return bytes(_save({name: np.asarray(weights[name], dtype=np.float32, order="C") for name in sorted(weights)}))


def allocate(shapes: Mapping[str, Shape], memory: Memory = in_memory) -> tuple[memoryview, dict[str, Array]]:
    """Return a file as `dump` writes it, of weights that are not there yet, and the arrays in it, to be filled.

    Weights that are read into these arrays exist once.
    """
    header, places, stop = _layout(shapes)
    begin = len(header)
    buffer = memory(begin + stop)
    buffer[:begin] = np.frombuffer(header, np.uint8)
    arrays = {
        name: buffer[begin + start : begin + start + 4 * math.prod(shapes[name])].view(np.float32).reshape(shapes[name])
        for name, start in places.items()
    }
    return buffer.data, arrays


def header(shapes: Mapping[str, Shape]) -> bytes:
    """Return the header of a file of weights of these shapes, as `dump` writes it."""
    return _layout(shapes)[0]


def numbers(data: bytes | memoryview, expected: bytes) -> Array | None:
    """Return the numbers of a file with this header, ordered by name; None for another file or if one is not finite."""
    begin = len(expected)
    if bytes(data[:begin]) != expected or (len(data) - begin) % 4:
        return None
    flat = np.frombuffer(data, np.float32, offset=begin)
    return flat if np.isfinite(flat).all() else None


def _layout(shapes: Mapping[str, Shape]) -> tuple[bytes, dict[str, int], int]:
    """Return the header of a file, the place of each array behind it, and the bytes of all arrays."""
    entries, places, stop = {}, {}, 0
    for name in sorted(shapes):
        start, stop = stop, stop + 4 * math.prod(shapes[name])
        entries[name] = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [start, stop]}
        places[name] = start
    return _header(entries), places, stop


def seal(arrays: Mapping[str, Array]) -> None:
    """Make arrays read-only, so that they can be kept without a copy."""
    for array in arrays.values():
        array.flags.writeable = False


def with_metadata(data: bytes | memoryview, metadata: Mapping[str, str]) -> tuple[bytes, memoryview]:
    """Return a file that `dump` wrote with metadata in its header: the new header, and the tensors as they are."""
    stop = 8 + int.from_bytes(data[:8], "little")
    entries = json.loads(bytes(data[8:stop]))
    return _header({"__metadata__": dict(sorted(metadata.items())), **entries}), memoryview(data)[stop:]


def _header(entries: Mapping[str, Any]) -> bytes:
    """Return the length of a header and the header, padded so that tensors begin at a multiple of eight bytes."""
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def load(data: bytes | memoryview) -> dict[str, Array]:
    """Return the arrays of a safetensors file, read-only; they are parts of it and no copies.

    Raise InvalidInput if it is damaged or holds another type than float32, NotFinite if a number is not finite.
    """
    try:
        tensors = TensorFile(BytesSource(data)).tensors
    except (MalformedBody, ImportRefused) as error:
        raise InvalidInput(error.detail) from error
    weights = {}
    for name, tensor in tensors.items():
        if tensor.dtype != "F32":
            raise InvalidInput(f"weight {name!r} is {tensor.dtype}", expected="float32", actual=tensor.dtype)
        array = np.frombuffer(data, np.float32, math.prod(tensor.shape), tensor.start).reshape(tensor.shape)
        if not all_finite(array):
            raise NotFinite(f"weight {name!r} holds a number that is not finite")
        weights[name] = array
    seal(weights)
    return weights
