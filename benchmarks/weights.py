"""Random weights of a case, which each runner converts to its own layout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import GATES, Case

Array = NDArray[np.float32]

SUFFIXES = {"lstm": "ifgo", "gru_torch": "rzn"}
"""The suffixes of Cellar's parameters in PyTorch's order of gates."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A recurrent layer: `wi` (gates, hidden, in), `wh` (gates, hidden, hidden), biases `bi` and `bh` (gates, hidden).

    An LSTM has one bias: its `bh` is zero.
    """

    wi: Array
    wh: Array
    bi: Array
    bh: Array


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a whole network; `head` is a matrix (1, hidden) and a bias (1,)."""

    layers: tuple[Layer, ...]
    head: tuple[Array, Array] | None


def draw_weights(case: Case, random: np.random.Generator) -> Weights:
    """Return random weights, uniform in +-1/sqrt(hidden) as in PyTorch."""
    bound = case.hidden**-0.5
    gates = GATES[case.cell]

    def draw(*shape: int) -> Array:
        return random.uniform(-bound, bound, shape).astype(np.float32)

    layers = []
    for size in case.sizes:
        bias = draw(gates, case.hidden)
        other = np.zeros_like(bias) if case.cell == "lstm" else draw(gates, case.hidden)
        layers.append(Layer(draw(gates, case.hidden, size), draw(gates, case.hidden, case.hidden), bias, other))
    return Weights(tuple(layers), (draw(1, case.hidden), draw(1)) if case.head else None)


def draw_inputs(case: Case, random: np.random.Generator) -> Array:
    """Return inputs (T, B, in), standard normal."""
    return random.standard_normal((case.steps, case.rows, case.in_size), np.float32)


def draw_states(case: Case, random: np.random.Generator) -> Array:
    """Return random states (layers, 1 or 2, B, hidden), first `h`, then `c` of an LSTM, in the range of a run."""
    count = 2 if case.cell == "lstm" else 1
    return random.uniform(-0.5, 0.5, (case.layers, count, case.rows, case.hidden)).astype(np.float32)
