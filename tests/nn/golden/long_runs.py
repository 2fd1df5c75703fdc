"""Long runs of optimisers on gradients of every scale: what `make_long_runs.py` gives to PyTorch and the tests to ours.

The gradients do not depend on the weights, so that an error of one update is not made good by the next.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

UPDATES = 3000
KEPT = (1, 2, 10, 100, 1000, 3000)
"""Updates after which the weights are kept."""

SCALES = tuple(10.0**exponent for exponent in range(-12, 7))
EVERY = (1, 10, 3000)
"""A weight has a gradient at every update, at one in ten, or at the first alone."""
WEIGHTS = len(SCALES) * len(EVERY)

LONG_RUNS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "learning_rate": 0.01},
    "sgd_decay": {"type": "sgd", "learning_rate": 0.01, "weight_decay": 0.001},
    "momentum": {"type": "momentum", "learning_rate": 0.01, "momentum": 0.9},
    "nesterov": {"type": "nesterov", "learning_rate": 0.01, "momentum": 0.9},
    "adam": {"type": "adam", "learning_rate": 0.001, "epsilon": 1e-8},
    "adam_1e-10": {"type": "adam", "learning_rate": 0.001, "epsilon": 1e-10},
    "adam_1e-12": {"type": "adam", "learning_rate": 0.001, "epsilon": 1e-12},
    "adam_decay": {"type": "adam", "learning_rate": 0.001, "epsilon": 1e-12, "weight_decay": 1e-6},
    "adamw": {"type": "adamw", "learning_rate": 0.001, "epsilon": 1e-12, "weight_decay": 0.01},
    "rmsprop": {"type": "rmsprop", "learning_rate": 0.001, "rho": 0.99, "epsilon": 1e-8},
    "rmsprop_1e-12": {"type": "rmsprop", "learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-12},
    "adagrad": {"type": "adagrad", "learning_rate": 0.01, "epsilon": 1e-12},
    "adadelta": {"type": "adadelta", "learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
    "adadelta_1e-12": {"type": "adadelta", "learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-12},
}


def gradients() -> NDArray[np.float32]:
    """Return (UPDATES, WEIGHTS): of a random sign, between one and two times the scale of the weight.

    They are made of raw random bits, whose stream NumPy promises to keep.
    """
    raw = np.random.PCG64(11).random_raw(UPDATES * WEIGHTS).reshape(UPDATES, WEIGHTS)
    sizes = 1 + (raw >> np.uint64(41)).astype(np.float64) / 2.0**23
    signs = 1 - 2.0 * (raw & np.uint64(1)).astype(np.float64)
    drawn = np.tile(SCALES, len(EVERY)) * sizes * signs
    every = np.repeat(EVERY, len(SCALES))
    return np.where(np.arange(UPDATES)[:, None] % every == 0, drawn, 0).astype(np.float32)
