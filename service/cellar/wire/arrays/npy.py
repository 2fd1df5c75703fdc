"""Reads and writes NumPy's npy files with an array of real numbers. Pickled objects are refused.

The header is the text of a Python dictionary. It is read with regular expressions and never evaluated, and its shape
is compared with the size of the data before an array is created.
"""

import math
import re
import struct
from functools import lru_cache
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput, MalformedBody, NotFinite, ShapeMismatch

Floats = NDArray[np.float32]

_FLOAT32 = np.dtype("<f4")

MEDIA_TYPE = "application/x-npy"
MAGIC = b"\x93NUMPY"
ALIGNMENT = 64
UNREADABLE = ValueError, SyntaxError, TokenError, RecursionError, TypeError
"""The errors of NumPy's own reader of headers, which evaluates a literal, for other texts."""

MOST_HEADER_BYTES = 4096
"""The most bytes of a header; that of three axes has 118."""

TYPES = re.compile(r"[<>|=]?(f[248]|[iu][1248])")
_MEMBER = r"\s*+['\"](\w++)['\"]\s*+:\s*+('[^']*+'|\"[^\"]*+\"|True|False|\([0-9L,\s]*+\)|\[[^\[\]]*+\])\s*+,?+"
_MEMBERS, _DICTIONARY = re.compile(_MEMBER), re.compile(rf"\s*+{{(?:{_MEMBER})*+\s*+}}\s*+")
_LENGTHS = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
_INTEGER = re.compile(r"[0-9]+")


def load(data: bytes, *, axes: tuple[int, ...], padded: bool = False) -> Floats:
    """Return an array as float32, C-contiguous and read-only. It must have one of `axes` axes, and no axis of 0.

    Floats of 16 and 64 bits and integers are converted; integers of 64 bits via float64, as in JSON. Raise
    MalformedBody for an invalid or incomplete file, InvalidInput for another type, ShapeMismatch for another
    number of axes, and NotFinite with the indices of the first number that float32 cannot represent. With `padded`
    such numbers are not looked for, because they may be padding.
    """
    descr, fortran, shape, at = read_header(data)
    check_type(descr)
    if len(shape) not in axes or 0 in shape:
        wanted = f"{' or '.join(map(str, axes))} axes of at least 1"
        raise ShapeMismatch(
            f"an npy file of another shape, {str(shape)[:80]}: expected {wanted}",
            expected=wanted,
            actual=str(shape)[:80],
        )
    kind = np.dtype(descr)
    expected, found = math.prod(shape) * kind.itemsize, len(data) - at
    if expected != found:
        raise MalformedBody(f"an npy file of {found} bytes of data; its header says {expected}", offset=at)
    return cast(np.frombuffer(data, kind, offset=at).reshape(shape, order="F" if fortran else "C"), padded=padded)


def check_type(descr: str) -> None:
    """Raise InvalidInput unless this is a type of real numbers."""
    if not TYPES.fullmatch(descr):
        detail = f"an npy file of another type, {descr[:40]}: cast it, as with array.astype('float32')"
        raise InvalidInput(detail, expected="real numbers", actual=descr[:40])


def dump(array: Floats) -> bytes:
    """Return the npy file (version 1.0) of a float32 array."""
    return header(array.shape) + np.ascontiguousarray(array, dtype="<f4").tobytes()


@lru_cache(maxsize=256)
def header(shape: tuple[int, ...]) -> bytes:
    """Return the header of an npy file for a float32 array of that shape."""
    text = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    size = len(MAGIC) + 4 + len(text) + 1
    text += b" " * (-size % ALIGNMENT) + b"\n"
    return MAGIC + b"\1\0" + struct.pack("<H", len(text)) + text


def read_header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Return the type, whether the order is Fortran's, the shape, and the offset of the data. Raise MalformedBody."""
    start = len(MAGIC) + 2
    if data[: len(MAGIC)] != MAGIC or len(data) < start:
        raise MalformedBody("not an npy file", offset=0)
    version, minor = data[start - 2], data[start - 1]
    if version not in _LENGTHS or minor:
        raise MalformedBody(f"an npy file of version {version}.{minor}", offset=start - 2)
    length = _LENGTHS[version]
    if len(data) < start + length.size:
        raise MalformedBody("an npy file that ends inside its header", offset=len(data))
    (size,) = length.unpack_from(data, start)
    begin, end = start + length.size, start + length.size + size
    if size > MOST_HEADER_BYTES or len(data) < end:
        raise MalformedBody("an npy file without a whole header", offset=begin)
    return *_read_text(data[begin:end], begin), end


@lru_cache(maxsize=256)
def _read_text(text: bytes, begin: int) -> tuple[str, bool, tuple[int, ...]]:
    """Return type, order and shape. The result is cached: clients send the same header, and reading it takes 10 us."""
    header = text.decode("latin-1")
    if not _DICTIONARY.fullmatch(header):
        raise MalformedBody("an npy header that is no dictionary", offset=begin)
    members: dict[str, str] = dict(_MEMBERS.findall(header))
    try:
        shape = tuple(int(size[:20]) for size in _INTEGER.findall(members["shape"]))
        return members["descr"].strip("'\""), members["fortran_order"] == "True", shape
    except KeyError as error:
        raise MalformedBody(f"an npy header without {error}", offset=begin) from None


def cast(array: NDArray[np.generic], first: int = 0, *, padded: bool = False) -> Floats:
    """Return numbers as float32, read-only. Raise NotFinite unless `padded`; `first` is the index of the first."""
    numbers = _as_float32(array)
    finite = np.isfinite(numbers)
    if not finite.all() and not padded:
        place = np.unravel_index(int(np.argmin(finite)), numbers.shape)
        place = (first + place[0], *place[1:])
        raise NotFinite(
            "a number is not finite as float32",
            pointer="".join(f"/{index}" for index in place),
            expected="a finite number within the range of float32",
        )
    numbers.flags.writeable = False
    return numbers


def _as_float32(array: NDArray[np.generic]) -> Floats:
    flags = array.flags
    if array.dtype == _FLOAT32 and flags.c_contiguous and flags.aligned:
        return array.view(_FLOAT32)
    with np.errstate(over="ignore"):
        doubles = array.astype(np.float64) if array.dtype.kind != "f" and array.dtype.itemsize == 8 else array
        return np.require(doubles, "<f4", ["C", "A"])
