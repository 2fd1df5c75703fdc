"""Reads safetensors files tensor by tensor, from bytes or from a file, as float32.

A file is eight bytes with the length of a header, the header (JSON: type, shape and place of each tensor), and the
tensors. Length, header and places are checked before anything else is read: they fill the file without a gap or an
overlap. https://huggingface.co/docs/safetensors
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused, MalformedBody
from cellar.memory.file_mapping import array_pieces, release_pages

MAX_HEADER_BYTES = 1024 * 1024
"""About a hundred bytes for each tensor: ten thousand of them."""

MAX_TENSORS = 8192
MAX_AXES = 8
_LENGTH_BYTES = 8
_CHUNK_BYTES = 1024 * 1024
"""Numbers of other types than float32 are converted in parts of this size."""

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2} | {
    name: size // 8 for size in (8, 16, 32, 64) for name in (f"I{size}", f"U{size}")
}
ITEM_BYTES |= {"BOOL": 1}
"""Types whose places can be checked. Those that begin with F or BF can be read."""

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

Floats = NDArray[np.float32]


class Source(Protocol):
    """Bytes that can be read at any place."""

    size: int

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset` on, which are there."""


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self.size = len(self._data)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Copy bytes."""
        buffer[:] = self._data[offset : offset + len(buffer)]


class FileSource:
    """A file by its descriptor. It must not become shorter while it is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Read bytes. Raise MalformedBody where the file has ended."""
        while buffer:
            count = os.preadv(self._descriptor, [buffer], offset)
            if not count:
                raise MalformedBody("the file has become shorter while it was read", offset=offset)
            offset, buffer = offset + count, buffer[count:]


@dataclass(frozen=True, slots=True)
class Tensor:
    """The place of a tensor in a file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """First byte, from the beginning of the file."""
    stop: int


class TensorFile:
    """The tensors of a safetensors file, of which the header is in memory. Raise MalformedBody for a damaged one."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.tensors, self.metadata = _read_header(source)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a tensor of that name."""
        return name in self.tensors

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of all tensors by name."""
        return {name: tensor.shape for name, tensor in self.tensors.items()}

    def read(self, name: str) -> Floats:
        """Return a tensor as a new array. Raise ImportRefused for one that holds no floating-point numbers."""
        array = np.empty(self.tensors[name].shape, np.float32)
        self.read_into(name, array)
        return array

    def read_into(self, name: str, array: Floats) -> None:
        """Fill a C-contiguous array of the tensor's shape. Raise ImportRefused for numbers that are no floats."""
        tensor = self.tensors[name]
        if tensor.dtype not in _NUMPY:
            raise ImportRefused(
                f"the tensor {name[:128]!r} holds no floating-point numbers",
                place=name[:128],
                pointer=f"/weights/{name[:128].replace('~', '~0').replace('/', '~1')}",
                expected=", ".join(_NUMPY),
                actual=tensor.dtype,
            )
        flat = array.reshape(-1)
        if tensor.dtype == "F32":
            begin = tensor.start
            for piece in array_pieces(flat):
                self._source.read_into(begin, piece.data.cast("B"))
                begin += piece.nbytes
            return
        for part, values in self._parts(tensor):
            flat[part] = _as_float32(tensor.dtype, values)
            release_pages(array)

    def _parts(self, tensor: Tensor) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the numbers of a tensor as they are stored, part by part, each with its place."""
        item = ITEM_BYTES[tensor.dtype]
        count, step = (tensor.stop - tensor.start) // item, _CHUNK_BYTES // item
        for first in range(0, count, step):
            values = np.empty(min(step, count - first), _NUMPY[tensor.dtype])
            self._source.read_into(tensor.start + first * item, values.data.cast("B"))
            yield slice(first, first + len(values)), values


def _as_float32(dtype: str, values: NDArray[Any]) -> Floats:
    """Return numbers as float32; those beyond its range become infinite, which no network takes."""
    if dtype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _read_header(source: Source) -> tuple[dict[str, Tensor], dict[str, str]]:
    head = bytearray(min(_LENGTH_BYTES, source.size))
    source.read_into(0, memoryview(head))
    size = int.from_bytes(head, "little")
    if source.size < _LENGTH_BYTES + size or not 2 <= size <= MAX_HEADER_BYTES:
        _refuse(f"a header of 2 to {MAX_HEADER_BYTES} bytes must follow, and all of it; it is said to have {size}", 0)
    text = bytearray(size)
    source.read_into(_LENGTH_BYTES, memoryview(text))
    try:
        document = json.loads(bytes(text), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        _refuse(f"its header is no JSON, or has a name twice: {str(error)[:200]}", _LENGTH_BYTES)
    if not isinstance(document, dict) or len(document) > MAX_TENSORS:
        _refuse(f"its header must be a JSON object of at most {MAX_TENSORS} tensors", _LENGTH_BYTES)
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse("`__metadata__` must be an object of strings", _LENGTH_BYTES)
    begin = _LENGTH_BYTES + size
    tensors = {name: _tensor(name, entry, begin) for name, entry in document.items()}
    _check_places(tensors, begin, source.size)
    return tensors, metadata


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("two members have one name")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _tensor(name: str, entry: Any, begin: int) -> Tensor:
    """Return the place of a tensor. Raise MalformedBody unless type, shape and number of bytes fit each other."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(f"tensor {name[:128]!r} must have dtype, shape and data_offsets, and nothing else", _LENGTH_BYTES)
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        _refuse(f"tensor {name[:128]!r} has the unknown type {str(dtype)[:40]!r}", _LENGTH_BYTES)
    if not _are_counts(shape) or len(shape) > MAX_AXES or not _are_counts(offsets) or len(offsets) != 2:
        _refuse(f"shape and data_offsets of tensor {name[:128]!r} must be lists of whole numbers", _LENGTH_BYTES)
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        _refuse(f"tensor {name[:128]!r} has another number of bytes than its type and shape say", _LENGTH_BYTES)
    return Tensor(dtype, tuple(shape), begin + offsets[0], begin + offsets[1])


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) is int and 0 <= each < 2**48 for each in value)


def _check_places(tensors: Mapping[str, Tensor], begin: int, end: int) -> None:
    """Raise MalformedBody unless the tensors fill the file from `begin` to `end`, one after the other."""
    places = sorted((tensor.start, tensor.stop) for tensor in tensors.values())
    edges = [(begin, begin), *places, (end, end)]
    for before, after in pairwise(edges):
        if after == (end, end) and before[1] > end:
            _refuse(f"it ends at byte {end}, and its tensors at byte {before[1]}", end)
        if before[1] != after[0]:
            what = "overlap" if after[0] < before[1] else "leave a gap"
            _refuse(f"its tensors {what} at byte {min(before[1], after[0])} of {end}", min(before[1], after[0]))


def _refuse(reason: str, offset: int) -> NoReturn:
    raise MalformedBody(f"not a safetensors file: {reason}", offset=offset)
