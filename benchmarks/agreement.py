"""Checks that all runners compute the same outputs and states, before they are timed."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from benchmarks.runner import Runner
from benchmarks.weights import Array

TOLERANCE = 1e-5
"""Largest difference of an output or a state, all of which are around 1: a hundred units in the last place.

Two calls of 100 steps in float32 stay below a tenth of it; a swapped gate or bias is far above.
"""


class Disagreement(AssertionError):
    """Two runners return different numbers for the same calls."""


def check_agreement(runners: Sequence[Runner], inputs: Array, states: Array, tolerance: float = TOLERANCE) -> None:
    """Call each runner twice from the same states, and compare every pair. Raise Disagreement."""
    answers = [(runner.name, _answer(runner, inputs, states)) for runner in runners]
    for (one, a), (other, b) in combinations(answers, 2):
        if a.shape != b.shape:
            raise Disagreement(f"{one} answers {a.shape} numbers, {other} {b.shape}")
        difference = float(np.abs(a - b).max())
        if not difference <= tolerance:
            raise Disagreement(f"{one} and {other} differ by {difference:.2g}, more than {tolerance:g}")


def _answer(runner: Runner, inputs: Array, states: Array) -> Array:
    """Return the outputs of two calls and the states after each as one vector."""
    state = runner.begin(states)
    found = []
    for _ in range(2):
        outputs, state = runner.step(inputs, state)
        found += [outputs.copy(), runner.states(state)]
    return np.concatenate([array.ravel() for array in found])
