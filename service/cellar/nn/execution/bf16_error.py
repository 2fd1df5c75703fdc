"""Measures the error that bfloat16 matrices cause in the outputs for random inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cellar.engine import Floats
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.numerics.random_streams import uniforms

STEPS, ROWS = 64, 8

STEPS_TOGETHER = 32
"""Steps of one network before the other continues: their weights and outputs are not in memory at the same time."""

UNIT_VARIANCE = 3.0**0.5
"""The limit of a uniform distribution around 0 with variance one."""


def rounding_error(compiled: CompiledNetwork, weights: Mapping[str, Floats]) -> dict[str, float]:
    """Return the error of outputs relative to those with float32 matrices, over STEPS steps of ROWS rows.

    `bfloat16_max_error` is the largest difference, `bfloat16_rms_error` the root of the mean square of all, divided by
    that of the outputs. Inputs are random with variance one, or random ids. The result is empty if numbers overflow.
    """
    inputs = _inputs(compiled.network)
    exact, rounded = _Continued(compiled, weights, bfloat16=False), _Continued(compiled, weights, bfloat16=True)
    sums = _Sums()
    together = STEPS if compiled.network.whole_sequences else STEPS_TOGETHER
    for begin in range(0, STEPS, together):
        part = inputs[begin : begin + together]
        if not sums.add(exact.outputs(part), rounded.outputs(part)):
            return {}
    mean = float(np.sqrt(sums.errors / (sums.squares or STEPS * ROWS * compiled.network.out_size)))
    return {"bfloat16_max_error": _in_short(sums.largest), "bfloat16_rms_error": _in_short(mean)}


@dataclass(slots=True)
class _Sums:
    """The largest difference, and the sums of the squares of outputs and differences."""

    largest: float = 0.0
    squares: float = 0.0
    errors: float = 0.0

    def add(self, wanted: Floats | None, found: Floats | None) -> bool:
        """Add outputs of both networks, step by step in float64. Return False if there are none."""
        if wanted is None or found is None:
            return False
        for one, other in zip(wanted, found, strict=True):
            difference = other.astype(np.float64) - one
            self.largest = max(self.largest, float(np.abs(difference).max()))
            self.squares += float(np.sum(one.astype(np.float64) ** 2))
            self.errors += float(np.sum(difference**2))
        return True


class _Continued:
    """A network that is stepped from its initial state, and has its weights only while it runs."""

    def __init__(self, compiled: CompiledNetwork, weights: Mapping[str, Floats], *, bfloat16: bool) -> None:
        self._compiled = compiled
        self._weights = weights
        self._bfloat16 = bfloat16
        self._state: Floats | None = None

    def outputs(self, inputs: Floats) -> Floats | None:
        """Return the outputs of the next steps, None if numbers overflow."""
        bound = BoundNetwork(self._compiled, self._weights, bfloat16=self._bfloat16, inference=True)
        state = bound.initial_state(ROWS) if self._state is None else self._state
        found = np.empty((*inputs.shape[:2], self._compiled.network.out_size), np.float32)
        together = len(inputs) if self._compiled.network.whole_sequences else 1  # more take more scratch memory
        for begin in range(0, len(inputs), together):
            run = bound.run(inputs[begin : begin + together], state)
            if run.bad_step is not None:
                return None
            found[begin : begin + together], state = run.outputs, run.state
        self._state = state
        return found


def _in_short(value: float) -> float:
    """Return a number rounded to three digits, because the last bits of NumPy's means differ between machines."""
    return float(f"{value:.3g}")


def _inputs(network: Network) -> Floats:
    drawn = uniforms(0, "bfloat16", STEPS * ROWS * network.in_size).reshape(STEPS, ROWS, network.in_size)
    if network.embedding is not None:
        return np.floor(drawn * network.embedding.count).astype(np.float32)
    return ((2 * drawn - 1) * UNIT_VARIANCE).astype(np.float32)
