"""Safetensors files with weights, fuzzed: each is taken or refused by an error of the tree, in bounded time and memory.

The corpus has files that lie in a way of their own; Hypothesis changes bytes, tensors and headers of good ones.
`python -m tests.interchange.test_fuzz_safetensors` writes the corpus anew.
"""

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from cellar.errors import ImportRefused, InvalidInput, MalformedBody, MalformedJson
from cellar.interchange.imported import ImportedNetwork
from cellar.interchange.safetensors import Reading, open_file, read_safetensors
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.wire.arrays.tensor_file import BytesSource
from cellar.wire.arrays.weights import allocate

CORPUS = Path(__file__).parent / "corpus"
REFUSALS = (ImportRefused, MalformedBody, MalformedJson, InvalidInput)
MOST_BYTES = 16 * 1024 * 1024
"""What reading a small file may take, whatever it says of itself."""

LAYERS = [{"type": "recurrent", "cell": "lstm", "hidden_size": 4}, {"type": "dense", "out_size": 2}]
SPEC = NetworkSpec.model_validate({"in_size": 3, "layers": LAYERS})
NATIVE = Network(SPEC).init(0)
ONES = {
    "lstm.weight_ih_l0": np.ones((16, 3), np.float32),
    "lstm.weight_hh_l0": np.ones((16, 4), np.float32),
    "lstm.bias_ih_l0": np.ones(16, np.float32),
    "lstm.bias_hh_l0": np.ones(16, np.float32),
    "head.weight": np.ones((2, 4), np.float32),
    "head.bias": np.ones(2, np.float32),
}


def file_of(header: Any, data: bytes = b"") -> bytes:
    """Return a file with this header, whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def lies() -> dict[str, bytes]:
    """Return the files of the corpus by name."""
    good = save(ONES)
    entry = {"dtype": "F32", "shape": [2**24, 2**24], "data_offsets": [0, 2**50]}
    nan = {**NATIVE, "1.b": np.array([np.nan, 1], np.float32)}
    return {
        "empty": b"",
        "truncated": good[:-7],
        "header_of_2_gb": (2 << 30).to_bytes(8, "little") + b"{}",
        "header_of_2_64": (2**64 - 1).to_bytes(8, "little") + b"{}",
        "huge_tensor": file_of({"x": entry}),
        "overlap": file_of({name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"}, bytes(8)),
        "gap": file_of({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        "deep": file_of(b'{"a":' * 5000),
        "twice": file_of(b'{"a": 1, "a": 2}'),
        "many": file_of({str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(9000)}),
        "nan": save(nan),
        "too_many": save({**NATIVE, "2.W": np.ones(1, np.float32)}),
        "missing": save({name: value for name, value in NATIVE.items() if name != "0.Wi_g"}),
        "transposed": save({**NATIVE, "1.W": np.ascontiguousarray(NATIVE["1.W"].T)}),
        "integers": save({**NATIVE, "1.b": np.ones(2, np.int64)}),
        "pickle": b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u.",
        "origin_lies": save(NATIVE, {"names": "torch", "origin": '{"framework": "torch", "modules": [1]}'}),
        "sizes_of_layers": save({**ONES, "head.weight": np.ones((20_000, 1), np.float32)}),
        "layer_99": save({"lstm.weight_ih_l99": np.ones((16, 4), np.float32), **ONES}),
    }


def read_all(data: bytes) -> list[ImportedNetwork | str]:
    """Read a file in every way that a request may ask for; return networks, and the kinds of errors."""
    found: list[ImportedNetwork | str] = []
    for said in (
        Reading(),
        Reading(network=SPEC),
        Reading(network=SPEC, names="torch"),
        Reading(modules=("lstm", "relu", "head")),
    ):
        try:
            found.append(read_safetensors(open_file(BytesSource(data)), said))
        except REFUSALS as error:
            found.append(type(error).__name__)
    return found


def check(found: list[ImportedNetwork | str]) -> None:
    """Assert that what was taken is a network with all its weights, finite."""
    for each in found:
        if isinstance(each, ImportedNetwork):
            network = Network(each.spec)
            assert {name: array.shape for name, array in each.weights.items()} == dict(network.parameters)
            assert all(np.isfinite(array).all() for array in each.weights.values())


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_the_corpus_is_refused_in_bounded_memory(path: Path) -> None:
    data = path.read_bytes()
    tracemalloc.start()
    try:
        found = read_all(data)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    check(found)
    assert "ImportRefused" in found or "MalformedBody" in found


def test_the_corpus_is_the_one_that_is_written() -> None:
    assert {path.stem for path in CORPUS.glob("*.bin")} == lies().keys()


GOOD = [save(ONES), save(NATIVE), bytes(allocate({"a": (2, 3), "b": ()})[0])]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    st.integers(0, 64),
)
def test_changed_bytes(data: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    changed = bytearray(data[: len(data) - cut])
    for place, byte in changes:
        changed[place % len(changed)] = byte
    check(read_all(bytes(changed)))


SHAPES = st.lists(st.integers(0, 20), max_size=3).map(tuple)
NAMES = st.sampled_from([*ONES, *NATIVE, "lstm.weight_hr_l0", "lstm.weight_ih_l1_reverse", "norm.weight", "x", "é/~"])


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(NAMES, SHAPES, max_size=6), st.sampled_from([ONES, NATIVE, {}]), st.sampled_from(["f4", "f2", "i8"])
)
def test_tensors_of_other_shapes_and_names(shapes: dict[str, Any], begun: dict[str, Any], kind: str) -> None:
    tensors = {**begun, **{name: np.ones(shape, kind) for name, shape in shapes.items()}}
    check(read_all(save(tensors)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "F64", "BF16", "F16", "X", "I8"]), "shape": JSON, "data_offsets": JSON}
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES | st.just("__metadata__"), ENTRIES | JSON, max_size=4), st.binary(max_size=64))
def test_headers_that_say_anything(header: dict[str, Any], data: bytes) -> None:
    check(read_all(file_of(header, data)))


def main() -> Counter[str]:
    """Write the corpus, and count its files."""
    for name, data in lies().items():
        (CORPUS / f"{name}.bin").write_bytes(data)
    return Counter(path.suffix for path in CORPUS.iterdir())


if __name__ == "__main__":
    main()
