"""The losses with several outputs for each target that are compared with PyTorch's distributions, and their data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STEPS, ROWS, TARGETS = 40, 3, 5

LOSSES: dict[str, tuple[Any, int]] = {
    "quantile": ({"type": "quantile", "quantiles": [0.05, 0.3, 0.5, 0.9]}, 4),
    "gaussian": ("gaussian", 2),
    "student": ("student", 3),
    "negative_binomial": ("negative_binomial", 2),
}
"""By name the specification, and the outputs for each target."""


def data(name: str) -> tuple[Array, Array]:
    """Return outputs (T, B, size) and targets (T, B, TARGETS) in float32.

    Some outputs are far from 0, where a careless formula overflows or loses its digits; counts go up to 20,000.
    """
    _, each = LOSSES[name]
    random = np.random.default_rng([len(name), each])
    outputs = random.normal(0, 1, (STEPS, ROWS, TARGETS, each))
    outputs[:8] *= 6
    targets = random.normal(0, 2, (STEPS, ROWS, TARGETS))
    if name == "negative_binomial":
        outputs[..., 0] = random.uniform(-2, 9, outputs.shape[:-1])
        targets = random.poisson(np.exp(outputs[..., 0] + targets / 4)).astype(np.float64)
        targets[0] = 0
        targets[1] = 20_000
    return outputs.reshape(STEPS, ROWS, -1).astype(np.float32), targets.astype(np.float32)
