"""Arrays of files as float32: bit for bit, or refused by name."""

from typing import Any

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.tensors import check_size, float32_array


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_that_are_float32_numbers_stay_what_they_are(dtype: Any) -> None:
    found = float32_array(np.array([[0.5, -2]], dtype), "a")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0.5, -2]])


@pytest.mark.parametrize(
    ("array", "detail"),
    [
        (np.array([0.1]), "not all its numbers are float32"),
        (np.array([1e300]), "not all its numbers are float32"),
        (np.array([1, 2]), "no real numbers"),
        (np.array(["x"]), "no real numbers"),
        (np.array([[0, np.nan]], np.float32), "not finite"),
        (np.array([np.inf], np.float16), "not finite"),
    ],
)
def test_others_are_refused_by_name(array: Any, detail: str) -> None:
    with pytest.raises(ImportRefused) as caught:
        float32_array(array, "model/gru")
    assert detail in caught.value.detail
    assert caught.value.place == "model/gru"


def test_sizes_are_bounded_before_anything_is_read() -> None:
    check_size([16, 1024 * 1024], "a")
    with pytest.raises(ImportRefused):
        check_size([2**40, 2**40], "a")
