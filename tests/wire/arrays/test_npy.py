"""npy files: every kind of number as NumPy writes it, and whatever is no such file refused for what it is."""

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import CellarError, InvalidInput, MalformedBody, NotFinite, ShapeMismatch
from cellar.wire.arrays import npy
from cellar.wire.numbers.numbers import parse_array

KINDS = [f"{order}{kind}" for order in "<>" for kind in ("f2", "f4", "f8", "i2", "i4", "i8", "u2", "u4", "u8")]


def file_of(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    """Return an array as NumPy writes it."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


GOOD = file_of(np.arange(6, dtype=np.float32).reshape(2, 3))


def with_header(text: str, data: bytes = b"\0" * 4) -> bytes:
    """Return a file with a header of one's own."""
    return npy.MAGIC + b"\1\0" + struct.pack("<H", len(text)) + text.encode() + data


@pytest.mark.parametrize("kind", [*KINDS, "i1", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_every_kind_are_cast(kind: str, order: str) -> None:
    array = np.array([[0, 1, 2], [100, 5, 6]], dtype=kind)
    # the kind or order is a variable
    found = npy.load(file_of(np.asarray(array, order=order)), axes=(2,))  # type: ignore[call-overload]
    assert found.dtype == np.dtype("<f4")
    assert found.flags.c_contiguous
    assert found.flags.aligned
    assert not found.flags.writeable
    assert found.tolist() == [[0, 1, 2], [100, 5, 6]]


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_is_read(version: tuple[int, int]) -> None:
    assert npy.load(file_of(np.array([[1, 2]], dtype=np.float32), version), axes=(1, 2)).tolist() == [[1, 2]]


@pytest.mark.parametrize("value", [0.1, 1 / 3, 2**53 + 1, 2**63 - 1, 16777217, 1e-46, 3.4e38, -7.038531e-26])
def test_a_number_is_rounded_as_one_of_json_is(value: float) -> None:
    found = npy.load(file_of(np.array([value])), axes=(1,))
    assert found.tobytes() == parse_array([value], ndim=1).tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3.5e38, 1e300])
def test_what_no_float32_holds_is_refused_with_its_indices(value: float) -> None:
    array = np.ones((2, 3))
    array[1, 2] = value
    for order in ("C", "F"):
        with pytest.raises(NotFinite) as caught:
            npy.load(file_of(np.asarray(array, order=order)), axes=(2,))
        assert caught.value.pointer == "/1/2"


@pytest.mark.parametrize("kind", ["O", "c8", "?", "S4", "U4", "V8", "M8[s]", [("a", "<f4"), ("b", "<f4")]])
def test_other_types_are_refused_unread(kind: object) -> None:
    with pytest.raises(InvalidInput, match="another type"):
        # the kind or order is a variable
        npy.load(file_of(np.zeros(2, dtype=kind)), axes=(1,))  # type: ignore[call-overload]


@pytest.mark.parametrize("shape", [(), (2,), (2, 3, 1), (0, 3), (3, 0)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match="another shape"):
        npy.load(file_of(np.zeros(shape)), axes=(2,))


def test_every_truncation_is_refused() -> None:
    for size in range(len(GOOD)):
        with pytest.raises(MalformedBody):
            npy.load(GOOD[:size], axes=(2,))
    with pytest.raises(MalformedBody, match="says 24"):
        npy.load(GOOD + b"x", axes=(2,))


@pytest.mark.parametrize("shape", ["(1000000000000, 1)", f"({2**63}, 4)", f"({10**300}, 1)"])
def test_a_huge_declared_size_allocates_nothing(shape: str) -> None:
    with pytest.raises(MalformedBody, match="its header says"):
        npy.load(with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"), axes=(2,))


@pytest.mark.parametrize(
    "text",
    [
        "{'shape':(1,),'descr':'<f4','fortran_order':False}\n",
        "{ 'descr' : \"<f4\", 'fortran_order': True, 'shape': (1L,) , } \n",
    ],
)
def test_headers_of_other_writers_are_read(text: str) -> None:
    assert npy.load(with_header(text), axes=(1,)).tolist() == [0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "{'descr': '<f4'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)",
        "{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os'), }",
        "{'descr': '<f4', 'fortran_order': " + "(" * 3000 + ", 'shape': (1,), }",
        "{" + " " * 5000 + "}",
    ],
)
def test_other_headers_are_refused(text: str) -> None:
    with pytest.raises(MalformedBody):
        npy.load(with_header(text), axes=(1,))


@given(st.binary(max_size=200), st.integers(0, len(GOOD)))
def test_random_bytes_are_read_or_refused(noise: bytes, at: int) -> None:
    for data in (noise, GOOD[:at] + noise, GOOD[:at] + noise + GOOD[at + len(noise) :]):
        with suppress(CellarError):
            npy.load(data, axes=(1, 2, 3))


@pytest.mark.parametrize("shape", [(1,), (2, 3), (1, 2, 3), (10**4, 1)])
def test_numpy_reads_what_is_written(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    data = npy.dump(array)
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert found.dtype == np.float32
    assert found.tolist() == array.tolist()
    assert (len(data) - array.nbytes) % npy.ALIGNMENT == 0
