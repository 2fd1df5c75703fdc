"""The forecast that costs nothing: what was seen last. A model that foretells a series should do better.

It applies where every target is an input of a later step: output j at step t is to be feature c at step t + h, h at
least 1, of the same row. That is looked up in the data, bit by bit: targets that were scaled otherwise than the inputs
are not recognised, and neither is a horizon that is longer than half of the series.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.nn.training.data.batches import Plan

Array = NDArray[np.float32]

MOST_AHEAD = 1000
"""The longest horizon that is looked for, in steps."""

LEAST_PAIRS = 2
"""Targets that must be found among the inputs: one could be so by chance."""


def carried_features(plan: Plan) -> tuple[int, ...] | None:
    """Return which feature each output foretells, None where the targets are not later inputs."""
    inputs = plan.inputs[len(plan.inputs) - len(plan.targets) :]
    found = []
    for output in range(plan.targets.shape[2]):
        feature = _foretold(inputs, plan.targets[:, :, output])
        if feature is None:
            return None
        found.append(feature)
    return tuple(found)


def forecast(plan: Plan, features: tuple[int, ...]) -> Array:
    """Return the outputs (T, B, out_size) that repeat what each step has just seen of those features."""
    return np.ascontiguousarray(plan.inputs[len(plan.inputs) - len(plan.targets) :][:, :, list(features)])


def _foretold(inputs: Array, target: Array) -> int | None:
    """Return the feature of (T, B, F) that (T, B) is ahead of by the fewest steps; None if that is none or by 0."""
    steps = len(target)
    most = min(MOST_AHEAD, steps // 2, steps - LEAST_PAIRS)
    best: tuple[int, int] | None = None
    for feature in range(inputs.shape[2]):
        series = inputs[:, :, feature]
        # Nearly all horizons differ at the very first target.
        for ahead in np.flatnonzero(series[: most + 1, 0] == target[0, 0]).tolist() if most >= 0 else ():
            if np.array_equal(series[ahead:], target[: steps - ahead]):
                best = min(best or (ahead, feature), (ahead, feature))
                break
    return None if best is None or best[0] == 0 else best[1]
