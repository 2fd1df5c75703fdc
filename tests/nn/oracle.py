"""A network through the interpreter, layer by layer, in float64, without code of `cellar.nn.execution.executable`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from tests.engine.interpreter import Interpreted, interpret_backward, interpret_forward

Array = NDArray[Any]


def make_network(spec: dict[str, Any]) -> Network:
    """Return the network of a JSON specification."""
    return Network(NetworkSpec.model_validate(spec))


@dataclass(frozen=True)
class Pass:
    """A forward pass: outputs (T, B, O), state (B, S), and each layer's own pass."""

    outputs: Array
    state: Array
    layers: tuple[Interpreted, ...]
    lengths: Array | None


def forward(
    network: Network, weights: Mapping[str, Array], inputs: Array, state: Array, lengths: Array | None = None
) -> Pass:
    """Run the network in float64."""
    results: list[Interpreted] = []
    for index, layer in enumerate(network.layers):
        own = state[:, _columns(network, index)]
        results.append(interpret_forward(layer.cell, _own(weights, index), [inputs], own, lengths))
        inputs = results[-1].outputs
    return Pass(inputs, np.concatenate([result.state for result in results], axis=1), tuple(results), lengths)


def backward(
    network: Network, weights: Mapping[str, Array], run: Pass, d_outputs: Array, d_state: Array | None = None
) -> tuple[dict[str, Array], Array, Array]:
    """Return the gradients of weights, inputs (T, B, F) and initial state (B, S)."""
    gradients: dict[str, Array] = {}
    before = np.zeros_like(run.state)
    for index in reversed(range(len(network.layers))):
        columns = _columns(network, index)
        result = interpret_backward(
            network.layers[index].cell,
            _own(weights, index),
            run.layers[index].tape,
            d_outputs,
            None if d_state is None else d_state[:, columns],
            run.lengths,
        )
        gradients |= {f"{index}.{name}": gradient for name, gradient in result.params.items()}
        before[:, columns] = result.state
        d_outputs = result.inputs[0]
    return gradients, d_outputs, before


def initial_state(network: Network, weights: Mapping[str, Array], rows: int) -> Array:
    """Return zeros, or the trained initial state, in float64."""
    parts = [weights.get(f"{s.layer}.{s.name}0", np.zeros(s.size)) for s in network.states]
    return np.tile(np.concatenate([*parts, np.zeros(0)]).astype(np.float64), (rows, 1))


def _own(weights: Mapping[str, Array], index: int) -> dict[str, Array]:
    return {name.split(".", 1)[1]: array for name, array in weights.items() if name.startswith(f"{index}.")}


def _columns(network: Network, index: int) -> slice:
    sizes = [layer.cell.state_size for layer in network.layers]
    return slice(sum(sizes[:index]), sum(sizes[: index + 1]))
