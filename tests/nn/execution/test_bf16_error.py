"""Matrices kept as bfloat16: the float32 kernel on rounded weights, bit for bit, and what that costs."""

from typing import Any

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.engine.execution.arrays import rounded
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.execution.backprop import Backprop
from cellar.nn.execution.bf16_error import rounding_error
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.nn.golden.cases import dense, embedding, recurrent

LAYERS = [recurrent("lstm", 19), dense(3)]


def make(layers: list[dict[str, Any]], in_size: int = 4, storage: str = "bfloat16") -> Network:
    """Return a network."""
    spec = {"in_size": in_size, "layers": layers, "weight_storage": storage}
    return Network(NetworkSpec.model_validate(spec))


@pytest.mark.parametrize("rows", [1, 9])
def test_the_bits_of_rounded_weights(cache: KernelCache, rows: int) -> None:
    network = make(LAYERS)
    weights = network.init(3)
    whole = {name: rounded(array) if array.ndim == 2 else array for name, array in weights.items()}
    inputs = np.random.default_rng(0).normal(size=(7, rows, 4)).astype(np.float32)
    found = CompiledNetwork(network, cache).bind(weights)
    wanted = CompiledNetwork(make(LAYERS, storage="float32"), cache).bind(whole)
    for bound in (found, wanted):
        assert bound.run(inputs, bound.initial_state(rows)).outputs.any()
    found_run, wanted_run = (bound.run(inputs, bound.initial_state(rows)) for bound in (found, wanted))
    assert found_run.outputs.tobytes() == wanted_run.outputs.tobytes()
    assert found_run.state.tobytes() == wanted_run.state.tobytes()


def test_the_digest_names_it() -> None:
    assert make(LAYERS).digest != make(LAYERS, storage="float32").digest


def test_the_error_against_float32(cache: KernelCache) -> None:
    """Of eight bits some hundredths of a percent to some percent are lost, and nothing where nothing is rounded."""
    compiled = CompiledNetwork(make(LAYERS), cache)
    weights = compiled.network.init(3)
    error = rounding_error(compiled, weights)
    assert 1e-4 < error["bfloat16_rms_error"] < 3e-2
    assert error["bfloat16_max_error"] > 0
    exact = {name: rounded(array) for name, array in weights.items()}
    assert rounding_error(compiled, exact) == {"bfloat16_max_error": 0.0, "bfloat16_rms_error": 0.0}


def test_the_error_of_a_model_of_ids(cache: KernelCache) -> None:
    compiled = CompiledNetwork(make([embedding(5, 4), *LAYERS], 1), cache)
    assert rounding_error(compiled, compiled.network.init(3)).keys() == {"bfloat16_max_error", "bfloat16_rms_error"}


def test_rounded_weights_have_no_gradients(cache: KernelCache) -> None:
    network = make(LAYERS)
    bound = CompiledNetwork(network, cache).bind(network.init(3))
    with pytest.raises(ValueError, match="no gradients"):
        Backprop(bound, Arithmetic(cache).recording(), np.zeros((1, 1, 4), np.float32), {}, ragged=False)


def test_training_works_on_float32(cache: KernelCache) -> None:
    """What is trained is bound without rounding: gradients are those of the weights as they are."""
    network = make(LAYERS)
    compiled, weights = CompiledNetwork(network, cache), network.init(3)
    plain = CompiledNetwork(make(LAYERS, storage="float32"), cache).bind(weights)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    trained = BoundNetwork(compiled, weights)
    runs = [bound.run(inputs, bound.initial_state(3)) for bound in (trained, plain)]
    assert runs[0].outputs.tobytes() == runs[1].outputs.tobytes()
