"""The file of a table: safetensors whose tensors are columns, so that other programs can read it too.

`times` (F64), `bounds` (I64), `values.<number of the column>` (F32 or I32), the ids of the series as one text in
`series` (U8) with the place of each in `series_at` (I64), and `nonce` (U8), by which no two files are the same: each
belongs to one dataset, and can be deleted with it. The metadata have the columns as JSON.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import IO, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from cellar.errors import StoreCorrupt
from cellar.memory.temporary_files import file_errors
from cellar.table import Column, Table

NONCE_BYTES = 16

IDS_AT_ONCE = 65_536
"""Ids of series that are bytes at a time: there may be millions."""

_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(np.float64): "F64",
    np.dtype(np.int64): "I64",
    np.dtype(np.float32): "F32",
    np.dtype(np.int32): "I32",
}
_NAMES[np.dtype(np.uint8)] = "U8"
_TYPES: dict[str, np.dtype[Any]] = {name: kind for kind, name in _NAMES.items()}


class Tensor(NamedTuple):
    """An array that is written part by part."""

    name: str
    type: type[np.generic]
    size: int
    parts: Iterable[NDArray[Any]]


def write_table(file: IO[bytes], columns: Sequence[Column], tensors: Sequence[Tensor]) -> tuple[str, int]:
    """Write a table; return the digest of what it holds, without the nonce, and the size. Raise StoreUnavailable."""
    at = 0
    header: dict[str, Any] = {"__metadata__": {"columns": json.dumps([asdict(column) for column in columns])}}
    nonce = Tensor("nonce", np.uint8, NONCE_BYTES, [np.frombuffer(secrets.token_bytes(NONCE_BYTES), np.uint8)])
    for tensor in (*tensors, nonce):
        end = at + tensor.size * np.dtype(tensor.type).itemsize
        header[tensor.name] = {
            "dtype": _NAMES[np.dtype(tensor.type)],
            "shape": [tensor.size],
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with file_errors():
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        digest.update(text)
        for tensor in tensors:
            written = 0
            for part in tensor.parts:
                data = np.ascontiguousarray(part, tensor.type)
                file.write(data.data)
                digest.update(data.data)
                written += len(data)
            if written != tensor.size:
                raise AssertionError(f"{tensor.name} has {written} values, and {tensor.size} were announced")
        for part in nonce.parts:
            file.write(part.data)
        file.flush()
    return digest.hexdigest(), 8 + len(text) + at


class SeriesIds(Sequence[str]):
    """The ids of series, read from the file when asked for: there may be millions."""

    def __init__(self, texts: NDArray[np.uint8], at: NDArray[np.int64]) -> None:
        self._texts = texts
        self._at = at

    def __len__(self) -> int:
        """Return the number of series."""
        return len(self._at) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return an id, or several."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = index % len(self)
        return self._texts[self._at[place] : self._at[place + 1]].tobytes().decode()

    def index(self, value: str, start: int = 0, stop: int | None = None) -> int:
        """Return the place of an id without making texts of the others. Raise ValueError if there is none."""
        wanted = np.frombuffer(value.encode("utf-8", "surrogatepass"), np.uint8)
        found = np.flatnonzero(np.diff(self._at) == len(wanted))
        for offset, byte in enumerate(wanted):
            found = found[self._texts[self._at[found] + offset] == byte]
        for place in found.tolist()[:1]:
            if place in range(*slice(start, stop).indices(len(self))):
                return int(place)
        raise ValueError(f"no series {value!r}")


def series_tensors(ids: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the tensors of the ids of series."""
    at = np.zeros(len(ids) + 1, np.int64)
    parts = []
    for begin in range(0, len(ids), IDS_AT_ONCE):
        encoded = [each.encode() for each in ids[begin : begin + IDS_AT_ONCE]]
        at[begin + 1 : begin + 1 + len(encoded)] = [len(each) for each in encoded]
        parts.append(b"".join(encoded))
    np.cumsum(at, out=at)
    texts = np.frombuffer(b"".join(parts), np.uint8)
    return Tensor("series_at", np.int64, len(at), [at]), Tensor("series", np.uint8, len(texts), [texts])


def open_table(data: NDArray[np.uint8]) -> Table:
    """Return the table in a file that is mapped. Raise StoreCorrupt."""
    try:
        size = int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8 : 8 + size].tobytes())
        found = json.loads(header.pop("__metadata__")["columns"])
        columns = tuple(Column(**{**each, "categories": tuple(each["categories"])}) for each in found)
        arrays = {name: _array(data[8 + size :], each) for name, each in header.items()}
        values = {
            column.name: arrays[f"values.{number}"]
            for number, column in enumerate(columns)
            if f"values.{number}" in arrays
        }
        ids = SeriesIds(arrays["series"], arrays["series_at"])
        return Table(columns, ids, arrays["bounds"], arrays.get("times"), values)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreCorrupt(f"unreadable table: {error!r}") from error


def _array(data: NDArray[np.uint8], about: dict[str, Any]) -> NDArray[Any]:
    begin, end = about["data_offsets"]
    if end > len(data):
        raise ValueError(f"the file ends before byte {end}")
    kind: np.dtype[Any] = _TYPES[about["dtype"]]
    found: NDArray[Any] = data[begin:end].view(kind)
    return found
