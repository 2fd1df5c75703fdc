"""Weights as safetensors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from cellar.errors import InvalidInput, NotFinite
from cellar.wire.arrays.weights import dump, load

WEIGHTS = {
    "0.Wi_r": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.b": np.array([0.5, -0.0], dtype=np.float32),
    "1.a": np.array(2.0, dtype=np.float32),
}


def test_there_and_back() -> None:
    loaded = load(dump(WEIGHTS))
    assert {name: (array.shape, array.tobytes()) for name, array in loaded.items()} == {
        name: (array.shape, array.tobytes()) for name, array in WEIGHTS.items()
    }


def test_the_same_weights_are_the_same_bytes_in_any_order() -> None:
    assert dump(dict(reversed(WEIGHTS.items()))) == dump(WEIGHTS)


def test_a_view_is_written_as_what_it_shows() -> None:
    turned = WEIGHTS["0.Wi_r"].T
    assert np.array_equal(load(dump({"W": turned}))["W"], turned)


@given(
    st.binary(max_size=64)
    | st.builds(lambda cut, at: dump(WEIGHTS)[:cut] + bytes([at]), st.integers(0, 200), st.integers(0, 255))
)
def test_damaged_bytes_are_an_invalid_input(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        load(data)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_another_type_is_refused(dtype: type) -> None:
    with pytest.raises(InvalidInput) as caught:
        load(save({"W": np.ones(2, dtype=dtype)}))
    assert caught.value.expected == "float32"


def test_numbers_must_be_finite() -> None:
    with pytest.raises(NotFinite):
        load(save({"W": np.array([1.0, np.nan], dtype=np.float32)}))
