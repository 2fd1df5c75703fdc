"""States as safetensors: read back as written, and nothing else is read."""

import json
import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as load_file
from safetensors.numpy import save

from cellar.errors import InvalidInput, MalformedBody
from cellar.wire.arrays.tensor_file import MAX_HEADER_BYTES
from cellar.wire.arrays.tensors import dump, load

STATES = {
    (0, "h"): np.arange(6, dtype=np.float32).reshape(2, 3),
    (12, "c_2"): np.array([[-0.0], [1e-40]], dtype=np.float32),
}
FILE = dump(STATES, {"position": "p"})


def a_file(header: Any, data: bytes = b"\0" * 4) -> bytes:
    """Return a file with this header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(kind: str = "F32", shape: tuple[int, ...] = (1, 1), end: int = 4, **more: Any) -> dict[str, Any]:
    """Return what a header says of one array."""
    return {"dtype": kind, "shape": shape, "data_offsets": [0, end], **more}


def test_what_was_written_is_read() -> None:
    found = load(FILE)
    assert found.keys() == STATES.keys()
    for place, values in STATES.items():
        assert found[place].dtype == np.float32
        assert found[place].tobytes() == values.tobytes()
    assert load(dump({}, {"of": "nothing"})) == {}
    assert load(dump({(0, "h"): np.zeros((2, 0), np.float32)}, {}))[0, "h"].shape == (2, 0)


def test_everybody_can_read_it() -> None:
    assert load_file(FILE).keys() == {"layers.0.h", "layers.12.c_2"}
    header = json.loads(FILE[8 : 8 + struct.unpack("<Q", FILE[:8])[0]])
    assert header["__metadata__"] == {"position": "p"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        FILE[:7],
        FILE[:20],
        FILE[:-1],
        FILE + b"\0",
        b"\xff" * 8 + FILE[8:],
        struct.pack("<Q", 0),
        struct.pack("<Q", MAX_HEADER_BYTES + 1) + b" " * (MAX_HEADER_BYTES + 1),
        pickle.dumps(STATES),
        a_file(b"{"),
        a_file([]),
        a_file({"layers.0.h": 1}),
        a_file({"layers.0.h": entry(shape=(2, 1))}),
        a_file({"layers.0.h": entry(shape=(2**62, 2**62))}),
        a_file({"layers.0.h": entry(shape=(-1, 1))}),
        a_file({"layers.0.h": entry(end=8)}),
        a_file({"layers.0.h": entry(kind="F31")}),
        a_file({"layers.0.h": entry(), "layers.0.c": entry()}),
        a_file(b'{"layers.0.h": %(entry)b, "layers.0.h": %(entry)b}' % {b"entry": json.dumps(entry()).encode()}),
    ],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedBody):
        load(data)


@pytest.mark.parametrize(
    "name", ["h", "0.h", "layers.h", "layers.01.h", "layers.0.", "layers.-1.h", "layers.0.h.h", "ä"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="name"):
        load(save({name: np.zeros((1, 1), dtype=np.float32)}))


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32, np.bool_])
def test_another_type_than_float32_is_refused(kind: type[np.generic]) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(save({"layers.0.h": np.zeros((1, 1), dtype=kind)}))
    assert caught.value.expected == "F32"


@given(at=st.integers(0, len(FILE) - 1), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_a_changed_file_is_read_or_refused(at: int, byte: int, cut: int) -> None:
    changed = bytearray(FILE)
    changed[at] = byte
    try:
        found = load(bytes(changed[: len(changed) - cut]))
    except (MalformedBody, InvalidInput):
        return
    assert sum(values.nbytes for values in found.values()) == 32
