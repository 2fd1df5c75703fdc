"""The seasonal value and the mean as forecasts of inputs, beside the last value (`last_value`).

The period is found as in backtests and jobs on datasets (`nn.forecasting.accuracy.baselines`). Arrays are (T, B, F),
and the targets of a plan are those of the last steps of the inputs.
"""

import numpy as np

from cellar.engine import Floats
from cellar.nn.forecasting.accuracy.baselines import find_period
from cellar.nn.training.data.batches import Plan

MOST_STEPS = 20_000
"""Only the newest steps of a long sequence are looked at for a period."""

Carried = tuple[tuple[int, int], ...]
"""For each output how many steps ahead it forecasts, and which feature of the inputs."""


def period_of(training: Plan, carried: Carried) -> int | None:
    """Return the period of the first output in the longest row of the training part, in steps; None without one."""
    row = 0 if training.lengths is None else int(np.argmax(training.lengths))
    before = len(training.inputs) - len(training.targets)
    steps = len(training.inputs) if training.lengths is None else before + int(training.lengths[row])
    return find_period(training.inputs[max(0, steps - MOST_STEPS) : steps, row, carried[0][1]])


def mean_of(training: Plan) -> Floats:
    """Return the mean (out_size,) of the targets of the training part that count; the order of sums is fixed."""
    targets = training.targets.astype(np.float64)
    weights = np.ones(targets.shape) if training.weights is None else np.broadcast_to(_all(training), targets.shape)
    if training.lengths is not None:
        weights = weights * (np.arange(len(targets))[:, None] < training.lengths)[:, :, None]
    flat, each = (array.reshape(-1, targets.shape[2]) for array in (targets, weights))
    totals, counts = (np.cumsum(array, axis=0)[-1] for array in (np.where(each > 0, flat * each, 0), each))
    found: Floats = np.divide(totals, counts, out=np.zeros_like(totals), where=counts > 0).astype(np.float32)
    return found


def _all(plan: Plan) -> Floats:
    """Return the weights (T, B, F or 1) of the targets of a plan."""
    assert plan.weights is not None
    return plan.weights if plan.weights.shape[2] in (1, plan.targets.shape[2]) else plan.weights[:, :, :1]


def seasonal(inputs: Floats, steps: slice, carried: Carried, period: int) -> Floats:
    """Return outputs of some steps: the newest value that is whole periods before the one that is forecast.

    Where there is none, or it is missing, it is the last value.
    """
    at = np.arange(steps.start, steps.stop)
    found = []
    for ahead, feature in carried:
        values = inputs[:, :, feature]
        place = at + (ahead - 1) % period + 1 - period
        before = np.where((place >= 0)[:, None], values[np.maximum(place, 0)], np.nan)
        found.append(np.where(np.isnan(before), values[at], before))
    return np.ascontiguousarray(np.stack(found, axis=2), dtype=np.float32)
