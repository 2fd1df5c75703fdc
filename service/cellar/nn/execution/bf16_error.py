"""Measures the error that bfloat16 matrices cause in the outputs for random inputs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.numerics.random_streams import uniforms

Array = NDArray[np.float32]

STEPS, ROWS = 64, 8

UNIT_VARIANCE = 3.0**0.5
"""The limit of a uniform distribution around 0 with variance one."""


def rounding_error(compiled: CompiledNetwork, weights: Mapping[str, Array]) -> dict[str, float]:
    """Return the error of outputs relative to those with float32 matrices, over STEPS steps of ROWS rows.

    `bfloat16_max_error` is the largest difference, `bfloat16_rms_error` the root of the mean square of all, divided by
    that of the outputs. Inputs are random with variance one, or random ids. The result is empty if numbers overflow.
    """
    inputs = _inputs(compiled.network)
    exact, rounded = (BoundNetwork(compiled, weights, bfloat16=bfloat16) for bfloat16 in (False, True))
    wanted, found = (bound.run(inputs, bound.initial_state(ROWS)) for bound in (exact, rounded))
    if wanted.bad_step is not None or found.bad_step is not None:
        return {}
    difference = found.outputs.astype(np.float64) - wanted.outputs
    size = float(np.sqrt(np.mean(wanted.outputs.astype(np.float64) ** 2)))
    mean = float(np.sqrt(np.mean(difference**2)))
    return {
        "bfloat16_max_error": _in_short(float(np.abs(difference).max())),
        "bfloat16_rms_error": _in_short(mean / size if size else mean),
    }


def _in_short(value: float) -> float:
    """Return a number rounded to three digits, because the last bits of NumPy's means differ between machines."""
    return float(f"{value:.3g}")


def _inputs(network: Network) -> Array:
    drawn = uniforms(0, "bfloat16", STEPS * ROWS * network.in_size).reshape(STEPS, ROWS, network.in_size)
    if network.embedding is not None:
        return np.floor(drawn * network.embedding.count).astype(np.float32)
    return ((2 * drawn - 1) * UNIT_VARIANCE).astype(np.float32)
