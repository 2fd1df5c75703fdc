"""Safetensors files read tensor by tensor, and what is refused of them before anything is read."""

import json
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from cellar.errors import CellarError, ImportRefused, MalformedBody
from cellar.wire.arrays.tensor_file import MAX_HEADER_BYTES, BytesSource, FileSource, TensorFile
from cellar.wire.arrays.weights import allocate, dump

TENSORS: dict[str, NDArray[Any]] = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, -0.0], np.float64),
    "c": np.array(3, np.float16),
    "d": np.zeros((0, 4), np.float32),
}


def opened(data: bytes) -> TensorFile:
    return TensorFile(BytesSource(data))


def file_of(header: Any, data: bytes = b"") -> bytes:
    """Return a file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_tensors_of_every_type_come_as_float32() -> None:
    file = opened(save(TENSORS, {"about": "this"}))
    assert file.metadata == {"about": "this"}
    assert file.shapes == {"a": (2, 3), "b": (2,), "c": (), "d": (0, 4)}
    for name, value in TENSORS.items():
        assert file.read(name).tobytes() == value.astype(np.float32).tobytes()


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    header = {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    data = np.array([0x3F80, 0xC020], "<u2").tobytes()
    assert opened(file_of(header, data)).read("x").tolist() == [1.0, -2.5]


def test_a_file_is_read_in_place_and_converted_in_parts() -> None:
    numbers = np.random.default_rng(0).normal(size=300_000)
    with tempfile.TemporaryFile() as file:
        file.write(save({"x": numbers}))
        file.flush()
        found = TensorFile(FileSource(file.fileno())).read("x")
        assert found.tobytes() == numbers.astype(np.float32).tobytes()


def test_a_file_that_becomes_shorter_is_refused() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(save({"x": np.ones(100, np.float32)}))
        file.flush()
        tensors = TensorFile(FileSource(file.fileno()))
        file.truncate(200)
        with pytest.raises(MalformedBody, match="shorter"):
            tensors.read("x")


def test_numbers_that_are_no_floats_are_refused_when_they_are_read() -> None:
    file = opened(save({"n": np.array([1, 2], np.int64), "x": np.ones(1, np.float32)}))
    assert file.read("x") == 1
    with pytest.raises(ImportRefused) as refused:
        file.read("n")
    assert (refused.value.place, refused.value.actual) == ("n", "I64")


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "a header of"),
        (b"\0" * 7, "a header of"),
        ((2 << 30).to_bytes(8, "little") + b"{}", "a header of"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "a header of"),
        (file_of(b" " * (MAX_HEADER_BYTES + 1)), "a header of"),
        (file_of(b"[" * 200_000), "no JSON"),
        (file_of(b'{"x": NaN}'), "no JSON"),
        (file_of(b'{"x": 1, "x": 1}'), "name twice"),
        (file_of([]), "a JSON object"),
        (file_of({f"{n}": 0 for n in range(9000)}), "at most 8192"),
        (file_of({"__metadata__": {"a": 1}}), "__metadata__"),
        (file_of({"x": 1}), "dtype, shape"),
        (file_of({"x": {**GOOD, "more": 1}}, b"\0" * 8), "dtype, shape"),
        (file_of({"x": {**GOOD, "dtype": "F8"}}, b"\0" * 8), "unknown type"),
        (file_of({"x": {**GOOD, "shape": [True, 2]}}, b"\0" * 8), "whole numbers"),
        (file_of({"x": {**GOOD, "shape": [-1, -2]}}, b"\0" * 8), "whole numbers"),
        (file_of({"x": {**GOOD, "shape": [10**30]}}, b"\0" * 8), "whole numbers"),
        (file_of({"x": {**GOOD, "shape": [3]}}, b"\0" * 8), "another number of bytes"),
        (file_of({"x": GOOD}, b"\0" * 7), "it ends at byte"),
        (file_of({"x": GOOD}, b"\0" * 9), "leave a gap"),
        (file_of({"x": GOOD, "y": GOOD}, b"\0" * 8), "overlap"),
        (file_of({"x": {**GOOD, "data_offsets": [4, 12]}}, b"\0" * 12), "leave a gap"),
    ],
)
def test_lying_files_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(MalformedBody, match=said):
        opened(data)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_what_is_read_of_a_damaged_file_the_library_reads_too(noise: bytes, place: int, byte: int) -> None:
    """No file is taken that the library of safetensors refuses, and no error is any but ours."""
    whole = bytearray(save({"a": TENSORS["a"], "b": TENSORS["b"]}))
    whole[min(place, len(whole) - 1)] = byte
    for data in (bytes(whole), bytes(whole[:place]) + noise, noise):
        try:
            file = opened(data)
            found = {name: file.read(name).size for name in file.tensors}
        except CellarError:
            continue
        try:
            assert found.keys() == {name for name, _ in deserialize(data)}
        except SafetensorError as error:
            raise AssertionError(data) from error


@pytest.mark.parametrize(
    "weights", [{}, {"1.b": TENSORS["a"], "0.Wi_r": np.ones(3, np.float32), "é": np.ones((), "f4")}]
)
def test_an_allocated_file_is_what_dump_writes(weights: dict[str, Any]) -> None:
    data, arrays = allocate({name: value.shape for name, value in weights.items()})
    for name, value in weights.items():
        arrays[name][...] = value
    assert bytes(data) == dump(weights)
