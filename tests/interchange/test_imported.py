"""Weights of a network are there once, of their shapes and finite, or the tensor is named."""

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.imported import Array, check_weights
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec

NETWORK = Network(NetworkSpec(in_size=3, layers=(DenseSpec(out_size=2),)))


def refusal(weights: dict[str, Array]) -> ImportRefused:
    """Return the error that weights raise."""
    with pytest.raises(ImportRefused) as refused:
        check_weights(NETWORK, weights)
    return refused.value


def test_weights_that_fit_are_taken() -> None:
    check_weights(NETWORK, NETWORK.init(0))


def test_a_missing_tensor_is_named() -> None:
    weights = NETWORK.init(0)
    del weights["0.b"]
    error = refusal(weights)
    assert (error.place, error.pointer, error.expected) == ("0.b", "/weights/0.b", "[2]")


def test_a_tensor_too_many_is_named() -> None:
    error = refusal({**NETWORK.init(0), "a/b~": np.zeros(2, np.float32)})
    assert (error.pointer, error.expected, error.actual) == ("/weights/a~1b~0", "0.W, 0.b", "a/b~")


def test_a_transposed_tensor_is_named_with_the_remedy() -> None:
    weights = NETWORK.init(0)
    error = refusal({**weights, "0.W": weights["0.W"].T})
    assert (error.expected, error.actual, error.remedy) == ("[2, 3]", "[3, 2]", "transpose it")


def test_a_number_that_is_not_finite_is_named_with_its_place() -> None:
    weights = NETWORK.init(0)
    weights["0.W"][1, 2] = np.nan
    assert refusal(weights).actual == "nan at [1, 2]"
