"""Errors of training runs in which a number became NaN or infinite, with its place and a remedy."""

from collections.abc import Mapping

import numpy as np

from cellar.engine import Floats
from cellar.errors import OutputNotFinite, StateNotFinite

Named = Mapping[str, Floats]


def not_finite(gradients: Named, weights: Named) -> str | None:
    """Return the first parameter that is not finite, or whose gradient is not; None if all are finite."""
    for what, arrays in (("gradient of ", gradients), ("", weights)):
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                return f"{what}parameter {name}"
    return None


def diverged(what: str, place: str, weights: Named | None) -> str:
    """Return the text that `what` is not finite at a place of the run, with the largest weight if weights are given."""
    largest = "" if weights is None else f" ({_largest(weights)})"
    return (
        f"{what} became NaN or infinite in {place}{largest}: lower the learning rate, or"
        " clip the gradient (optimiser.clip_norm)"
    )


def fault(kind: int, place: str, weights: Named) -> StateNotFinite | OutputNotFinite:
    """Return the error for a state (kind 1) or an output that was not finite in the forward pass."""
    if kind == 1:
        return StateNotFinite(diverged("a state", place, weights))
    return OutputNotFinite(diverged("an output", place, weights))


def _largest(weights: Named) -> str:
    """Return the parameter with the largest absolute weight, and this value."""
    peaks = {name: float(abs(array).max()) for name, array in weights.items()}
    name = max(peaks, key=peaks.__getitem__)
    return f"the largest weight is {peaks[name]:.2g}, in parameter {name}"
