"""The error of a run in which a number became NaN or infinite: where that was, and what helps."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellar.errors import OutputNotFinite, StateNotFinite

Array = NDArray[np.float32]
Named = Mapping[str, Array]


def not_finite(gradients: Named, weights: Named) -> str | None:
    """Return the first parameter whose gradient, or which itself, is not finite; None if all are."""
    for what, arrays in (("gradient of ", gradients), ("", weights)):
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                return f"{what}parameter {name}"
    return None


def diverged(what: str, place: str, weights: Named | None) -> str:
    """Return that `what` is not finite at that place of the run, with the largest of the weights if they are given."""
    largest = "" if weights is None else f" ({_largest(weights)})"
    return (
        f"{what} became NaN or infinite in {place}{largest}: lower the learning rate, or"
        " clip the gradient (optimiser.clip_norm)"
    )


def fault(kind: int, place: str, weights: Named) -> StateNotFinite | OutputNotFinite:
    """Return the error of a forward pass in which a kernel found a state (kind 1) or an output that is not finite."""
    if kind == 1:
        return StateNotFinite(diverged("a state", place, weights))
    return OutputNotFinite(diverged("an output", place, weights))


def _largest(weights: Named) -> str:
    """Return which parameter has the weight of the largest size, and its size."""
    peaks = {name: float(abs(array).max()) for name, array in weights.items()}
    name = max(peaks, key=peaks.__getitem__)
    return f"the largest weight is {peaks[name]:.2g}, in parameter {name}"
