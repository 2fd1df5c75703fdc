"""The trained layers of a forecast."""

import numpy as np

from cellar.engine import KernelCache
from cellar.jobs.recipe.planning.trunk import FROZEN, Trunk, numbered
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec


def test_without_what_the_lstm_adds_it_repeats_the_last_readings(cache: KernelCache) -> None:
    trunk = Trunk(features=5, read=(1, 2, 4), base=(3, 0), horizon=3, hidden_size=4)
    network = Network(NetworkSpec.model_validate({"in_size": 5, "layers": trunk.layers}))
    weights = dict(trunk.weights(network, seed=2))
    weights["3.W"] = np.zeros_like(weights["3.W"])
    bound = CompiledNetwork(network, cache).bind(weights)
    inputs = np.random.default_rng(1).normal(size=(6, 2, 5)).astype(np.float32)
    outputs = bound.run(inputs, bound.initial_state(2)).outputs
    assert np.array_equal(outputs.reshape(6, 2, 3, 2), np.repeat(inputs[:, :, None, [3, 0]], 3, axis=2))


def test_layers_are_numbered_in_a_network_with_others_before_them() -> None:
    assert numbered(FROZEN, 1) == ["1", "2", "5"]
    assert numbered(["4.W", "2"], -1) == ["3.W", "1"]
