"""Layers with weights as a network: numbers, residual layers, and faults at the layer of the file."""

import numpy as np
import pytest

from cellar.errors import ImportRefused
from cellar.interchange.chain import ImportedLayer, layer_norm, network_of, residual_sum, stateless
from cellar.nn.model.layers.dense import DenseSpec
from cellar.nn.model.layers.residual import ResidualSpec


def dense(rows: int, columns: int, place: str = "dense") -> ImportedLayer:
    """Return a dense layer without bias."""
    return ImportedLayer(DenseSpec(out_size=rows, bias=False), {"W": np.ones((rows, columns), np.float32)}, place)


def test_layers_inside_of_residual_ones_are_numbered_depth_first() -> None:
    first, second, third = dense(3, 2), dense(3, 3), dense(1, 3)
    joined = residual_sum((first,), (first, second), "add")
    assert joined is not None
    found = network_of(2, (*joined, third))
    assert [*found.weights] == ["0.W", "1.W", "2.W"]
    assert isinstance(found.spec.layers[1], ResidualSpec)


def test_a_sum_needs_one_signal_that_leads_to_the_other() -> None:
    first, second = dense(2, 2), dense(2, 2)
    assert residual_sum((first,), (second,), "add") is None
    assert residual_sum((first,), (first,), "add") is None


def test_a_layer_that_does_not_fit_is_named_as_in_the_file() -> None:
    with pytest.raises(ImportRefused) as caught:
        network_of(2, (dense(3, 2), stateless("output = W @ nothing", 3, {}, "relu_7")))
    assert caught.value.place == "relu_7"
    with pytest.raises(ImportRefused) as caught:
        network_of(2, (dense(3, 5),))
    assert "0.W" in caught.value.place


def test_sizes_beyond_the_limits_are_refused() -> None:
    with pytest.raises(ImportRefused) as caught:
        network_of(20_000, (dense(1, 20_000),))
    assert "in_size" in caught.value.detail


def test_only_the_epsilon_of_the_built_in_layer_is_that_layer() -> None:
    weights = {"g": np.ones(3, np.float32), "b": np.zeros(3, np.float32)}
    assert layer_norm(1e-5, weights, "a").spec.type == "layer_norm"
    assert layer_norm(1e-3, weights, "a").spec.type == "recurrent"
