"""Compiles an optimiser as a cell: from the gradient `x` and the weights `w` to new weights.

All weights of a network are one vector. The state of the optimiser is the state of the cell.
"""

import math
from typing import NamedTuple

import numpy as np

from cellar.engine import CommandList, Floats
from cellar.nn.execution.array_functions import Arithmetic, scaled_by_power
from cellar.nn.training.optimiser import Optimiser, OptimiserState

_LARGE = 2.0**64
"""A gradient with a larger norm is scaled before it is clipped, because the factor alone could be subnormal."""


class Update(NamedTuple):
    """New weights and the new state; `finite` is False if a number among them is not finite."""

    weights: Floats
    state: OptimiserState
    finite: bool


class CompiledOptimiser:
    """An optimiser for a vector of `size` weights."""

    def __init__(self, spec: Optimiser, size: int, arithmetic: Arithmetic) -> None:
        self.spec = spec
        self._arithmetic = arithmetic
        self._kernel = arithmetic.kernel(spec.equations, {"x": size, "w": size})
        self._scalars: Floats = np.zeros(len(self._kernel.cell.params), np.float32)
        self._names = [param.name for param in self._kernel.cell.params]
        views = {param.name: self._scalars[i : i + 1].reshape(()) for i, param in enumerate(self._kernel.cell.params)}
        self._packed = self._kernel.pack(views)
        self._packed.adopt(views)
        self._gradient, self._weights, self._after = (np.zeros((1, 1, size), np.float32) for _ in range(3))
        self._slots, self._slots_after = (np.zeros((1, self._kernel.cell.state_size), np.float32) for _ in range(2))
        self._recording = self._record()

    def start(self) -> OptimiserState:
        """Return the state before the first update."""
        return OptimiserState(np.zeros((1, self._kernel.cell.state_size), dtype=np.float32))

    def update(self, weights: Floats, gradient: Floats, state: OptimiserState, rate: float) -> Update:
        """Return the weights (n,) after one update with this gradient (n,) at this learning rate."""
        gradient, scale = clipped(gradient, self.spec, self._arithmetic)
        return self.step(weights, gradient, state, rate, scale)

    def step(self, weights: Floats, gradient: Floats, state: OptimiserState, rate: float, scale: float) -> Update:
        """Return the weights after an update with a gradient that is clipped, except for the factor `scale`."""
        decay1, decay2 = self.spec.decays
        powers = state.power1 * decay1, state.power2 * decay2
        params = {"scale": scale, **self.spec.scalars(rate, powers)}
        self._scalars[:] = [params[name] for name in self._names]
        np.copyto(self._gradient[0, 0], gradient)
        np.copyto(self._weights[0, 0], weights)
        np.copyto(self._slots, state.slots)
        finite = self._recording.run()
        return Update(self._after[0, 0].copy(), OptimiserState(self._slots_after.copy(), *powers), finite)

    def _record(self) -> CommandList:
        """Return the native call of an update, which copies the scalars and runs the kernel."""
        recording = self._arithmetic.recording()
        for source, target in self._packed.placed():
            recording.copy(source, target)
        arrays = [self._gradient, self._weights]
        recording.call(self._kernel.bound(self._packed, arrays, self._slots, self._after, self._slots_after))
        return recording


def clipped(gradient: Floats, spec: Optimiser, arithmetic: Arithmetic) -> tuple[Floats, float]:
    """Return the gradient clipped by value, and the factor that clips its norm."""
    if spec.clip_value is not None:
        gradient = arithmetic.clip(gradient, spec.clip_value)
    if spec.clip_norm is None:
        return gradient, 1.0
    norm = arithmetic.norm(gradient)
    if norm <= spec.clip_norm:
        return gradient, 1.0
    if norm < _LARGE or not math.isfinite(norm):
        return gradient, spec.clip_norm / norm
    exponent = math.frexp(norm)[1]
    return scaled_by_power(gradient, -exponent), spec.clip_norm / math.ldexp(norm, -exponent)
