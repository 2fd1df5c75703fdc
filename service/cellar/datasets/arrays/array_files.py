"""Opens npy, npz and safetensors files as columns, without reading them into memory."""

import json
import lzma
import math
import mmap
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from cellar.datasets.arrays.array_columns import ArrayColumns, named
from cellar.datasets.faults import fault
from cellar.datasets.source import check_names
from cellar.memory.file_mapping import PIECE_BYTES, FileMapping
from cellar.memory.temporary_files import TemporaryFiles, file_errors
from cellar.wire.arrays.npy import UNREADABLE

MOST_TIMES = 200
"""An npz may be at most this many times as large as its file: a small one could fill the disk."""

DAMAGED = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
)
"""The errors of zipfile for a damaged archive, or for another file."""

MOST_HEADER_BYTES = 1024 * 1024

SAFETENSORS_TYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64, "I32": np.int32, "I16": np.int16,
    "I8": np.int8, "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip


def open_npy(file: IO[bytes]) -> ArrayColumns:
    """Return the columns of an npy file. Raise DatasetInvalid."""
    return ArrayColumns(named(_array(file)))


def open_npz(file: IO[bytes], files: TemporaryFiles) -> ArrayColumns:
    """Return the columns of an npz file: one array each, unpacked to temporary files. Raise DatasetInvalid."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            file.seek(0, 2)
            if sum(entry.file_size for entry in entries) > MOST_TIMES * file.tell():
                raise fault("the file is packed too densely", remedy="save it with numpy.savez, without compression")
            columns = {}
            check_names([entry.filename.removesuffix(".npy") for entry in entries])
            for entry in entries:
                with archive.open(entry) as packed, files.open() as unpacked:
                    while piece := packed.read(PIECE_BYTES):
                        with file_errors():
                            unpacked.write(piece)
                    with file_errors():
                        unpacked.flush()
                    name = entry.filename.removesuffix(".npy")
                    columns[name] = _array(unpacked, name)
            return ArrayColumns(columns)
    except DAMAGED as error:
        raise fault(f"not an npz file: {error}") from None


def open_safetensors(file: IO[bytes]) -> ArrayColumns:
    """Return the columns of a safetensors file: one tensor each. Raise DatasetInvalid."""
    data = _mapped(file)
    size = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= size <= min(MOST_HEADER_BYTES, max(0, len(data) - 8)):
        raise fault("not a safetensors file")
    try:
        header = json.loads(data[8 : 8 + size].tobytes())
        if not isinstance(header, dict):
            raise ValueError("its header is not an object")
        columns = dict(_tensors(header, data[8 + size :]))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise fault(f"not a safetensors file: {error}") from None
    return ArrayColumns(columns)


def _tensors(header: dict[str, Any], data: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, about in header.items():
        if name == "__metadata__":
            continue
        if about["dtype"] not in SAFETENSORS_TYPES:
            raise fault(f"values of the type {about['dtype']} are no readings", column=name)
        begin, end = about["data_offsets"]
        if not 0 <= begin <= end <= len(data):
            raise ValueError("a tensor lies outside of the file")
        part = data[begin:end]
        if begin % 8:
            part = part.copy()  # numbers of several bytes stand at a multiple of them
        yield name, part.view(SAFETENSORS_TYPES[about["dtype"]]).reshape(about["shape"])


def _array(file: IO[bytes], column: str | None = None) -> NDArray[Any]:
    """Return the array of an npy file, mapped. Raise DatasetInvalid, for Python objects too.

    `column` is its name in an npz file.
    """
    file.seek(0)
    try:
        version = npy_format.read_magic(file)
        read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
        shape, by_columns, kind = read(file)
    except UNREADABLE as error:
        raise fault(f"not an npy file: {str(error)[:200]}", column=column) from None
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise fault(f"not an npy file: an array of the shape {list(shape)}", column=column)
    if kind.hasobject:
        remedy = "save numbers: array.astype(float)"
        raise fault("the array has Python objects, which are not read", column=column, remedy=remedy)
    data = _mapped(file)[file.tell() :]
    size = math.prod(shape) * kind.itemsize
    if len(data) < size:
        raise fault(f"the file ends after {len(data)} of {size} bytes", column=column)
    return data[:size].view(kind).reshape(shape, order="F" if by_columns else "C")


def _mapped(file: IO[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(FileMapping(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)
