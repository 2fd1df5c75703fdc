"""Numbers of every type in a float32 record, and out of it again, bit for bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, from_dtype

from cellar.onnx_graph.element_types import TYPES, ElementType, TypeName, are_words, pack, unpack


def elements(kind: ElementType) -> st.SearchStrategy[Any]:
    """Return finite elements of a type, (2, 3)."""
    finite: dict[str, Any] = {"allow_nan": False, "allow_infinity": False} if kind.is_real else {}
    return arrays(kind.dtype, (2, 3), elements=from_dtype(kind.dtype, **finite))


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
def test_all_elements_come_back(name: TypeName, data: st.DataObject) -> None:
    kind = TYPES[name]
    given_elements = data.draw(elements(kind))
    words = pack(given_elements, kind)
    assert words.dtype == np.float32
    assert words.shape == (2, 3 * kind.words)
    assert np.isfinite(words).all()
    assert are_words(words, kind)
    assert unpack(words, kind).tobytes() == given_elements.tobytes()


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("int64", -(2**63), 2**63 - 1), ("uint64", 0, 2**64 - 1), ("int32", -(2**31), 2**31 - 1), ("int8", -128, 127)],
)
def test_the_largest_integers_come_back(name: TypeName, low: int, high: int) -> None:
    kind = TYPES[name]
    numbers = np.array([[low, high, 0, 1]], kind.dtype)
    assert unpack(pack(numbers, kind), kind).tolist() == [[low, high, 0, 1]]


def test_the_layout_is_words_of_24_bits_lowest_first() -> None:
    assert pack(np.array([[1 + (2 << 24) + (3 << 48)]], np.int64), TYPES["int64"]).tolist() == [[1, 2, 3]]
    assert pack(np.array([[-1]], np.int32), TYPES["int32"]).tolist() == [[2**24 - 1, 255]]
    assert pack(np.array([[1.0]]), TYPES["float64"]).tolist() == [[0, 0, 0x3FF0]]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("int64", [0.5, 0, 0]),
        ("int64", [-1, 0, 0]),
        ("int64", [2**24, 0, 0]),
        ("int64", [0, 0, 2**16]),
        ("int32", [0, 256]),
        ("int8", [128]),
        ("bool", [2]),
        ("float16", [65536]),
        ("float16", [1 + 2**-20]),
        ("float64", [0, 0, 0x7FF0]),
    ],
)
def test_words_that_are_no_elements_are_told(name: TypeName, words: list[float]) -> None:
    assert not are_words(np.array([words], np.float32), TYPES[name])
