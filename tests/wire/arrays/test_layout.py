"""Axis letters."""

from itertools import permutations

import numpy as np
import pytest

from cellar.errors import InvalidInput, ShapeMismatch
from cellar.wire.arrays.layout import from_tbf, parse_layout, to_tbf

SIZES = {"T": 4, "B": 3, "F": 2}
LAYOUTS = ["".join(letters) for count in (1, 2, 3) for letters in permutations("TBF", count)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_there_and_back(layout: str) -> None:
    shape = [SIZES[letter] for letter in layout]
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    inside = to_tbf(array, layout)
    assert inside.shape == tuple(SIZES[letter] if letter in layout else 1 for letter in "TBF")
    assert inside.flags.c_contiguous
    place = {letter: size - 1 for letter, size in SIZES.items()}
    assert (
        inside[tuple(place[letter] if letter in layout else 0 for letter in "TBF")]
        == array[tuple(place[letter] for letter in layout)]
    )
    assert np.array_equal(from_tbf(inside, layout), array)


def test_features_by_steps_by_samples_is_read_as_other_frameworks_mean_it() -> None:
    features_steps_samples = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    assert to_tbf(features_steps_samples, "FTB")[3, 2, 1] == features_steps_samples[1, 3, 2]


@pytest.mark.parametrize("layout", ["", "TT", "XBF", "tbf", "TBFT", "T B"])
def test_other_letters_are_refused(layout: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_tbf(np.zeros((1, 1, 1), dtype=np.float32), layout)
    assert caught.value.pointer == "/layout"


def test_the_number_of_axes_must_fit() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        to_tbf(np.zeros((4, 2), dtype=np.float32), "TBF")
    assert caught.value.expected == "3 nested arrays"


def test_an_axis_cannot_be_dropped_unless_it_is_single() -> None:
    with pytest.raises(ShapeMismatch):
        from_tbf(np.zeros((4, 3, 2), dtype=np.float32), "TF")


def test_arrays_of_another_depth_are_told_what_the_layout_asks() -> None:
    assert parse_layout([[1, 2], [3, 4]], "TF", "/inputs").shape == (2, 1, 2)
    with pytest.raises(ShapeMismatch, match="layout 'TF' nests an array for each letter") as caught:
        parse_layout([1, 2], "TF", "/inputs")
    assert caught.value.pointer == "/inputs/0"
    with pytest.raises(ShapeMismatch, match=r"expected 2 elements, found 1$"):
        parse_layout([[1, 2], [3]], "TF", "/inputs")
