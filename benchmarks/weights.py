"""Weights of a case, the same for everybody: gates in PyTorch's order, from which each runtime makes its own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import GATES, Case

Array = NDArray[np.float32]

SUFFIXES = {"lstm": "ifgo", "gru_torch": "rzn"}
"""PyTorch's order of gates, as Cellar's parameters are suffixed."""


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
    """Of a whole network; `head` is a matrix (1, hidden) and a bias (1,)."""

    layers: tuple[Layer, ...]
    head: tuple[Array, Array] | None


def draw_weights(case: Case, random: np.random.Generator) -> Weights:
    """Return new weights, uniform in +-1/sqrt(hidden) as PyTorch begins."""
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
    """Return states (layers, 1 or 2, B, hidden), first `h`, then an LSTM's `c`, within what a run reaches."""
    count = 2 if case.cell == "lstm" else 1
    return random.uniform(-0.5, 0.5, (case.layers, count, case.rows, case.hidden)).astype(np.float32)
