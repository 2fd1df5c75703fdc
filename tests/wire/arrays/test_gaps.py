"""Arrays with nulls, and booleans: short ones and the text of long ones."""

import json
from typing import Any

import numpy as np
import pytest

from cellar.api.schemas.catalogue.jobs import DataRequest
from cellar.errors import InvalidInput, ShapeMismatch
from cellar.wire.arrays.gaps import parse_flags, parse_gaps
from cellar.wire.numbers.text import NumberText


def text_of(value: Any) -> NumberText:
    """Return the text of a value, as the JSON reader leaves that of a long array."""
    return NumberText.of(value)


@pytest.mark.parametrize("form", [list, text_of])
def test_nulls_are_zeros_that_are_not_known(form: Any) -> None:
    value = [[[1.5, None]], [[None, -2e3]], [[0, 4]]]
    numbers, known = parse_gaps(form(value), "TBF", "/x")
    assert numbers.tolist() == [[[1.5, 0]], [[0, -2000]], [[0, 4]]]
    assert known is not None
    assert known.tolist() == [[[1, 0]], [[0, 1]], [[1, 1]]]
    assert parse_gaps(form([[1], [2]]), "TF", "/x")[1] is None


def test_a_long_text_is_read_in_pieces() -> None:
    random = np.random.default_rng(0)
    values = np.where(random.random((60_000, 2)) < 0.3, np.nan, random.normal(size=(60_000, 2)))
    value = [[None if each != each else each for each in row] for row in values.tolist()]
    numbers, known = parse_gaps(text_of(value), "TF", "/x")
    assert known is not None
    np.testing.assert_array_equal(known[:, 0] == 0, np.isnan(values))
    np.testing.assert_array_equal(numbers[:, 0], np.nan_to_num(values).astype(np.float32))
    assert parse_flags(text_of((values > 0).tolist()), "TF", "/x")[:, 0].tolist() == (values > 0).tolist()


@pytest.mark.parametrize("value", [[[1], None], [[None], [1, 2]], [["null"]], [[True, None]], [[1, [None]]]])
def test_other_values_have_a_place(value: Any) -> None:
    with pytest.raises((InvalidInput, ShapeMismatch)) as caught:
        parse_gaps(value, "TF", "/x")
    assert str(caught.value.pointer).startswith("/x")


@pytest.mark.parametrize("value", [[[2]], [["true"]], [[None]], [True], {"a": 1}, None])
def test_a_mask_holds_booleans_or_0_and_1(value: Any) -> None:
    assert parse_flags([[True, 0], [False, 1]], "TF", "/x").tolist() == [[[1, 0]], [[0, 1]]]
    with pytest.raises((InvalidInput, ShapeMismatch)) as caught:
        parse_flags(value, "TF", "/x")
    assert str(caught.value.pointer).startswith("/x")


def test_what_counts_of_a_request() -> None:
    fields = {
        "layout": "BTF",
        "inputs": [[[0], [1], [2]], [[3], [4], [5]]],
        "targets": [[[0, 1], [1, None], [2, 3]], [[3, 4], [4, 5], [5, 6]]],
        "mask": [[[True], [True], [False]], [[True], [True], [True]]],
        "weights": [[[2], [1], [1]], [[1], [1], [1]]],
        "lengths": [3, 2],
        "validation": {"inputs": [[[0]]], "targets": [[[None, 1]]]},
    }
    data = DataRequest.model_validate(json.loads(json.dumps(fields))).dataset()
    assert data.weights is not None
    assert data.weights.transpose(1, 0, 2).tolist() == [[[2, 2], [1, 0], [0, 0]], [[1, 1], [1, 1], [1, 1]]]
    assert data.lengths is not None
    assert data.lengths.tolist() == [3, 2]
    assert data.validation is not None
    assert data.validation.weights is not None
    assert data.validation.weights.tolist() == [[[0, 1]]]
    same = DataRequest.model_validate(fields | {"targets": [[[0, 1]] * 3] * 2, "validation": None}).dataset()
    assert same.weights is not None
    assert same.weights.T.tolist() == [[2, 1, 0], [1, 1, 1]]
    with pytest.raises(ShapeMismatch) as caught:
        DataRequest.model_validate(fields | {"mask": [[[1]], [[1]]]}).dataset()
    assert caught.value.pointer == "/data/mask"
