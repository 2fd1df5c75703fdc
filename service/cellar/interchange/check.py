"""Compares the outputs of an imported network with those of the original, before it is published."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cellar.errors import ImportRefused, ShapeMismatch
from cellar.nn.execution.executable import CompiledNetwork

Array = NDArray[np.float32]

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Check:
    """Inputs (T, B, in_size) and the outputs (T, B, out_size) that belong to them."""

    inputs: Array
    outputs: Array
    tolerance: float = TOLERANCE


class Runnable(Protocol):
    """A network that runs; `cellar.sessions.values.model_protocol` describes the members."""

    @property
    def network(self) -> Any:
        """Its sizes."""

    def initial_state(self, rows: int) -> Array:
        """Return the initial state (rows, state_size)."""

    def run(self, inputs: Array, state: tuple[bytes, ...]) -> Any:
        """Run T steps on states as bytes."""


def largest_difference(compiled: CompiledNetwork, weights: Mapping[str, Array], check: Check) -> float:
    """Return by how much outputs differ at most. Raise ImportRefused if that is more than the tolerance.

    The network steps from its initial state. Raise ShapeMismatch for inputs or outputs of another shape.
    """
    return difference_of(compiled.bind(weights, inference=True), check)


def difference_of(runnable: Runnable, check: Check) -> float:
    """Return the same for a network that is ready to run."""
    network = runnable.network
    steps, rows, _ = check.inputs.shape
    for name, array, size in (("inputs", check.inputs, network.in_size), ("outputs", check.outputs, network.out_size)):
        if array.shape != (steps, rows, size):
            raise ShapeMismatch(
                f"{name} of the check have another shape",
                pointer=f"/check/{name}",
                expected=str([steps, rows, size]),
                actual=str(list(array.shape)),
            )
    network.check_inputs(check.inputs, "/check/inputs")
    run = runnable.run(check.inputs, (runnable.initial_state(rows).tobytes(),))
    difference = np.abs(run.outputs.astype(np.float64) - check.outputs)
    place = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape)
    largest = float(difference[place])
    if not largest <= check.tolerance:
        step, row, number = (int(index) for index in place)
        raise ImportRefused(
            "the network answers other outputs than the check expects:"
            f" step {step}, row {row}, number {number}, counted from 0",
            place=f"step {step}",
            pointer=f"/check/outputs/{step}",
            expected=f"{check.outputs[place]:.9g}, within {check.tolerance:g}",
            actual=f"{run.outputs[place]:.9g}, which differs by {largest:.3g}",
            remedy="look for another order of gates or modules, another activation, or inputs in another layout",
        )
    return largest
