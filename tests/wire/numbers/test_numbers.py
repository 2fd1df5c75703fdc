"""The strict reading of JSON numbers."""

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import CellarError, InvalidInput, NotFinite, ShapeMismatch
from cellar.wire.numbers.numbers import parse_array

FLOAT32_MAX = float(np.finfo(np.float32).max)
ROUNDS_TO_INFINITY = float(2**128 - 2**103)

numbers = st.one_of(
    st.floats(-FLOAT32_MAX, FLOAT32_MAX), st.integers(-(2**127), 2**127), st.sampled_from([0, -0.0, 5e-324, 1e-45])
)
faulty: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.just({}),
    st.sampled_from([math.inf, -math.inf, math.nan, ROUNDS_TO_INFINITY, 1e308, 10**400, -(2**128)]),
)
sizes = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def nested(flat: list[Any], shape: list[int]) -> Any:
    """Return the elements as nested lists of that shape."""
    if not shape:
        return flat[0]
    step = len(flat) // shape[0]
    return [nested(flat[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


@given(st.data(), sizes)
def test_numbers_become_what_a_cast_makes_of_them(data: st.DataObject, shape: list[int]) -> None:
    flat = data.draw(st.lists(numbers, min_size=math.prod(shape), max_size=math.prod(shape)))
    expected = np.array([float(x) for x in flat], dtype=np.float64).astype(np.float32).reshape(shape)
    for wanted in ({"shape": shape}, {"ndim": len(shape)}, {"shape": [None] * len(shape)}):
        parsed = parse_array(nested(flat, shape), **wanted)
        assert parsed.dtype == np.float32
        assert parsed.flags.c_contiguous
        assert parsed.tobytes() == expected.tobytes()


@given(st.data(), sizes)
def test_the_first_fault_is_found(data: st.DataObject, shape: list[int]) -> None:
    count = math.prod(shape)
    flat: list[Any] = data.draw(st.lists(numbers, min_size=count, max_size=count))
    first = data.draw(st.integers(0, count - 1))
    flat[first] = data.draw(faulty)
    for later in range(first + 1, count):
        if data.draw(st.booleans()):
            flat[later] = data.draw(faulty)
    with pytest.raises(InvalidInput) as caught:
        parse_array(nested(flat, shape), ndim=len(shape), pointer="/inputs")
    place = np.unravel_index(first, shape)
    assert caught.value.pointer == "/inputs" + "".join(f"/{index}" for index in place)


@given(st.recursive(numbers | faulty, lambda inner: st.lists(inner, max_size=3), max_leaves=12), st.integers(0, 3))
def test_anything_is_either_an_array_or_an_invalid_input(value: Any, ndim: int) -> None:
    try:
        parsed = parse_array(value, ndim=ndim)
    except InvalidInput:
        return
    assert parsed.ndim == ndim
    assert np.isfinite(parsed).all()
    assert parsed.size > 0


@pytest.mark.parametrize(
    ("text", "pointer", "error", "actual"),
    [
        ("[1, true]", "/x/1", InvalidInput, "true"),
        ("[1, false]", "/x/1", InvalidInput, "false"),
        ('[1, "1.5"]', "/x/1", InvalidInput, "a string"),
        ("[null, 1]", "/x/0", InvalidInput, "null"),
        ("[1, {}]", "/x/1", InvalidInput, "an object"),
        ("[1, [2]]", "/x/1", ShapeMismatch, "an array"),
        ("[1, 2, 3]", "/x", ShapeMismatch, "3 elements"),
        ("[1]", "/x", ShapeMismatch, "1 element"),
        ("[]", "/x", ShapeMismatch, "0 elements"),
        ("1.5", "/x", ShapeMismatch, "a number"),
        ("2", "/x", ShapeMismatch, "a number"),
        ("[1, 3.4028235677973366e38]", "/x/1", NotFinite, "about 3.4e+38"),
        ("[1, -1e300]", "/x/1", NotFinite, "about -1.0e+300"),
    ],
)
def test_faults_of_a_vector_of_two(text: str, pointer: str, error: type[InvalidInput], actual: str) -> None:
    with pytest.raises(error) as caught:
        parse_array(orjson.loads(text), shape=(2,), pointer="/x")
    assert (caught.value.pointer, caught.value.actual) == (pointer, actual)
    assert caught.value.expected is not None


@pytest.mark.parametrize(
    ("value", "actual"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        (10**400, "a number of 401 digits"),
        (2**128 - 2**103 - 1, "about 3.4e+38"),
    ],
)
def test_numbers_of_other_decoders_are_checked_too(value: float, actual: str) -> None:
    with pytest.raises(NotFinite) as caught:
        parse_array([[0.0, value]], ndim=2)
    assert (caught.value.pointer, caught.value.actual) == ("/0/1", actual)


def test_largest_float32_is_a_number() -> None:
    assert parse_array([math.nextafter(ROUNDS_TO_INFINITY, 0), -FLOAT32_MAX], shape=(2,)).tolist() == [
        FLOAT32_MAX,
        -FLOAT32_MAX,
    ]


def test_a_ragged_array_points_at_the_row_that_differs_from_the_first() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        parse_array([[1, 2], [3, 4], [5]], ndim=2)
    assert (caught.value.pointer, caught.value.expected, caught.value.actual) == ("/2", "2 elements", "1 element")


def test_a_tuple_or_an_array_is_no_json() -> None:
    with pytest.raises(CellarError):
        parse_array((1.0, 2.0), ndim=1)


def test_what_is_read_cannot_be_changed_by_accident() -> None:
    assert not parse_array(json.loads("[1, 2]"), ndim=1).flags.writeable
