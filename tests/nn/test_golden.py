"""Every built-in cell, and stacks of them, against PyTorch: forward, and the gradients of everything."""

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from tests.nn import oracle
from tests.nn.execution.gradients import gradients
from tests.nn.golden.cases import NETWORKS, ROWS
from tests.nn.golden.read import Array, assert_float32, assert_float64, part, read

pytestmark = pytest.mark.parametrize("name", NETWORKS)


def initial(golden: dict[str, Array]) -> Array:
    """Return the state that the golden run begins with; a network without state has none in its file."""
    return golden.get("state", np.zeros((ROWS, 0), np.float32))


def test_interpreter_in_float64(name: str) -> None:
    network, golden = oracle.make_network(NETWORKS[name]), read(f"network_{name}")
    weights = part(golden, "weight.")
    run = oracle.forward(network, weights, golden["inputs"], initial(golden))
    assert_float64(run.outputs, golden, "outputs")
    d_state = golden.get("d_state")
    d_weights, d_inputs, d_initial = oracle.backward(network, weights, run, golden["d_outputs"], d_state)
    for key, gradient in d_weights.items():
        assert_float64(gradient, golden, f"d_weight.{key}")
    assert_float64(d_inputs, golden, "d_inputs")
    if network.state_size:
        assert_float64(run.state, golden, "state")
        assert_float64(d_initial, golden, "d_initial")


def test_kernels_in_float32(name: str, cache: KernelCache) -> None:
    network, golden = oracle.make_network(NETWORKS[name]), read(f"network_{name}")
    bound = CompiledNetwork(network, cache).bind(part(golden, "weight."))
    state, d_outputs, d_state = initial(golden), golden["d_outputs"], golden.get("d_state")
    found = gradients(bound, cache, golden["inputs"], state, d_outputs, d_state=d_state)
    assert_float32(found.outputs, golden, "outputs")
    for key, gradient in found.weights.items():
        assert_float32(gradient, golden, f"d_weight.{key}")
    assert_float32(found.inputs, golden, "d_inputs")
    if network.state_size:
        assert_float32(found.state, golden, "state")
        assert_float32(found.d_state, golden, "d_initial")
