"""Measures the error that bfloat16 matrices cause in the outputs for random inputs."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.numerics.random_streams import uniforms

Array = NDArray[np.float32]

STEPS, ROWS = 64, 8

STEPS_TOGETHER = 4
"""Scratch memory is kept for later calls, and that of all steps of a large network is several megabytes."""

UNIT_VARIANCE = 3.0**0.5
"""The limit of a uniform distribution around 0 with variance one."""


def rounding_error(compiled: CompiledNetwork, weights: Mapping[str, Array]) -> dict[str, float]:
    """Return the error of outputs relative to those with float32 matrices, over STEPS steps of ROWS rows.

    `bfloat16_max_error` is the largest difference, `bfloat16_rms_error` the root of the mean square of all, divided by
    that of the outputs. Inputs are random with variance one, or random ids. The result is empty if numbers overflow.
    """
    inputs = _inputs(compiled.network)
    wanted, found = (_outputs(compiled, weights, inputs, bfloat16=bfloat16) for bfloat16 in (False, True))
    if wanted is None or found is None:
        return {}
    difference = found.astype(np.float64) - wanted
    size = float(np.sqrt(np.mean(wanted.astype(np.float64) ** 2)))
    mean = float(np.sqrt(np.mean(difference**2)))
    return {
        "bfloat16_max_error": _in_short(float(np.abs(difference).max())),
        "bfloat16_rms_error": _in_short(mean / size if size else mean),
    }


def _outputs(compiled: CompiledNetwork, weights: Mapping[str, Array], inputs: Array, *, bfloat16: bool) -> Array | None:
    """Return the outputs of a network, None if numbers overflow. Its packed weights are freed at the end."""
    bound = BoundNetwork(compiled, weights, bfloat16=bfloat16)
    state, outputs = bound.initial_state(ROWS), []
    together = STEPS if compiled.network.whole_sequences else STEPS_TOGETHER
    for begin in range(0, STEPS, together):
        run = bound.run(inputs[begin : begin + together], state)
        if run.bad_step is not None:
            return None
        state = run.state
        outputs.append(run.outputs)
    return np.concatenate(outputs)


def _in_short(value: float) -> float:
    """Return a number rounded to three digits, because the last bits of NumPy's means differ between machines."""
    return float(f"{value:.3g}")


def _inputs(network: Network) -> Array:
    drawn = uniforms(0, "bfloat16", STEPS * ROWS * network.in_size).reshape(STEPS, ROWS, network.in_size)
    if network.embedding is not None:
        return np.floor(drawn * network.embedding.count).astype(np.float32)
    return ((2 * drawn - 1) * UNIT_VARIANCE).astype(np.float32)
