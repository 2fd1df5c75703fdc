"""An optimiser whose learning rate has a factor for each group of weights."""

from dataclasses import replace

import numpy as np

from cellar.engine import Floats
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.training.optimiser import Optimiser, OptimiserState
from cellar.nn.training.update.compiled_optimiser import CompiledOptimiser, Update, clipped


class GroupedOptimiser:
    """An optimiser for a vector of weights that is divided into groups. The gradient is clipped as a whole."""

    def __init__(self, spec: Optimiser, groups: list[tuple[int, float]], arithmetic: Arithmetic) -> None:
        """`groups` have the number of weights and the factor of each, in the order of the vector."""
        self._spec, self._arithmetic = spec, arithmetic
        self._factors = [factor for _, factor in groups]
        self._ends = np.cumsum([count for count, _ in groups])[:-1]
        self._parts = [CompiledOptimiser(spec, count, arithmetic) for count, _ in groups]

    def start(self) -> OptimiserState:
        """Return the state before the first update."""
        return OptimiserState(np.concatenate([part.start().slots for part in self._parts], axis=1))

    def update(self, weights: Floats, gradient: Floats, state: OptimiserState, rate: float) -> Update:
        """Return the weights (n,) after one update with this gradient (n,) at this learning rate."""
        gradient, scale = clipped(gradient, self._spec, self._arithmetic)
        slots = np.split(state.slots, np.cumsum([part.start().slots.shape[1] for part in self._parts])[:-1], axis=1)
        arrays = zip(np.split(weights, self._ends), np.split(gradient, self._ends), slots, strict=True)
        found = [
            part.step(own, of_own, replace(state, slots=kept), rate * factor, scale)
            for part, factor, (own, of_own, kept) in zip(self._parts, self._factors, arrays, strict=True)
        ]
        after = replace(found[0].state, slots=np.concatenate([each.state.slots for each in found], axis=1))
        joined = np.concatenate([each.weights for each in found])
        return Update(joined, after, all(each.finite for each in found))
