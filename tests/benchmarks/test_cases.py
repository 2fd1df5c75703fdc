"""The cases that the benchmarks promise."""

import numpy as np

from benchmarks.cases import STACK_A, STACK_B, Case, inference, training
from benchmarks.ours import named, network_spec
from benchmarks.weights import draw_weights
from cellar.nn.model.network import Network


def test_inference_has_every_shape_once() -> None:
    names = [case.name for case in inference()]
    assert len(names) == len(set(names)) == 2 * 4 * 5 + 4
    assert {"lstm 128-512 T50 B64", "gru_torch 8-32 T1 B1", "lstm 250-3x200 T100 B1"} <= set(names)


def test_training_has_every_shape_once() -> None:
    names = [case.name for case in training()]
    assert len(names) == len(set(names)) == 2 * 5 * 2
    assert {"lstm 4-16 T50 B32", "gru_torch 64-256 T50 B64"} <= set(names)


def test_bytes_are_those_of_the_matrices() -> None:
    for case in (Case("lstm", 8, 32, 1, 1), Case("gru_torch", 3, 5, 2, 7), STACK_A, STACK_B):
        weights = draw_weights(case, np.random.default_rng(0))
        arrays = [array for layer in weights.layers for array in (layer.wi, layer.wh)]
        arrays += [weights.head[0]] if weights.head else []
        assert case.weight_bytes == sum(array.nbytes for array in arrays)
        assert case.flops == 2 * case.steps * case.rows * sum(array.size for array in arrays)
        Network(network_spec(case)).check_weights(named(case, weights))
