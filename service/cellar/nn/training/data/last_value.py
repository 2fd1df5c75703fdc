"""The naive forecast, which repeats the last value. Results of training are compared with it.

It exists if every target is an input of a later step: output j at step t is feature c at step t + h, with h at
least 1, of the same row. This is found by comparing bits, so targets that were scaled differently from the inputs
are not recognised. A horizon longer than half of the series is not recognised either.
"""

import numpy as np

from cellar.engine import Floats
from cellar.nn.training.data.batches import Plan

MOST_AHEAD = 1000
"""The longest horizon that is tried, in steps."""

LEAST_PAIRS = 2
"""The fewest targets that must be found among the inputs, so that a match is not by chance."""


def carried_features(plan: Plan) -> tuple[int, ...] | None:
    """Return the feature that each output forecasts, None if the targets are not later inputs."""
    found = carried(plan)
    return None if found is None else tuple(feature for _, feature in found)


def carried(plan: Plan) -> tuple[tuple[int, int], ...] | None:
    """Return for each output how many steps ahead it forecasts, and which feature; None as `carried_features`."""
    inputs = plan.inputs[len(plan.inputs) - len(plan.targets) :]
    found = []
    for output in range(plan.targets.shape[2]):
        foretold = _foretold(inputs, plan.targets[:, :, output], plan)
        if foretold is None:
            return None
        found.append(foretold)
    return tuple(found)


def forecast(plan: Plan, features: tuple[int, ...]) -> Floats:
    """Return the outputs (T, B, out_size) of the forecast: the present values of these features."""
    return np.ascontiguousarray(plan.inputs[len(plan.inputs) - len(plan.targets) :][:, :, list(features)])


def _foretold(inputs: Floats, target: Floats, plan: Plan) -> tuple[int, int] | None:
    """Return the shortest horizon with which a feature of (T, B, F) equals (T, B), and that feature.

    None without one, or if the horizon is 0.
    """
    steps = len(target)
    most = min(MOST_AHEAD, steps // 2, steps - LEAST_PAIRS)
    best: tuple[int, int] | None = None
    counts = plan.weights is None or plan.weights[0, 0, 0] != 0
    for feature in range(inputs.shape[2]):
        series = inputs[:, :, feature]
        # Nearly all horizons differ at the first target, if that one counts.
        first = (series[: most + 1, 0] == target[0, 0]) | (not counts) if most >= 0 else ()
        for ahead in np.flatnonzero(first).tolist():
            if _equal(series[ahead:], target[: steps - ahead], plan):
                best = min(best or (ahead, feature), (ahead, feature))
                break
    return None if best is None or best[0] == 0 else best


def _equal(later: Floats, target: Floats, plan: Plan) -> bool:
    """Return whether the targets (T, B) that count, and whose rows reach that far, equal later inputs (T, B)."""
    differs = later != target
    if plan.weights is not None:
        differs &= plan.weights[: len(target), :, 0] != 0
    if plan.lengths is not None:
        differs &= np.arange(len(plan.targets) - len(target), len(plan.targets))[:, None] < plan.lengths
    return not differs.any()
