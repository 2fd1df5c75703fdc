"""How far a job is from PyTorch's training, and what counts as agreement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TOLERANCE = 1e-5
"""Of each epoch's loss, and of the largest weight of each array."""

MARGIN = 8
"""How many times as far as PyTorch's float32 a result may be, where rounding alone leads that further than TOLERANCE:
Cellar sums in another order and has activations of its own."""

COARSE_MARGIN = 2
"""The same where PyTorch's float32 and float64 share no digit, as when a sum of signs is 0 but for rounding and its
optimiser follows the sign of what is left, as Lion does, or scales it up, as Adagrad does."""

DIVERGED = "became NaN or infinite"
WORSE = "has made the model worse"
DOCUMENTED = (DIVERGED, WORSE)
"""Parts of the errors that docs/reference/training.md explains."""


@dataclass(frozen=True, slots=True)
class Result:
    """The loss of each epoch, and the weights by name."""

    losses: Array
    weights: Mapping[str, Array]


def deviation(found: Result, truth: Result) -> float:
    """Return the largest part by which a result is away: of a loss, or of the largest weight of an array."""
    parts = [*zip(found.losses, truth.losses, strict=True)]
    parts += [(found.weights[name], truth.weights[name]) for name in found.weights]
    return max(_relative(np.asarray(ours, np.float64), np.asarray(theirs, np.float64)) for ours, theirs in parts)


def agrees(found: Result, exact: Result, peer: Result) -> tuple[bool, float]:
    """Return whether a result is PyTorch's, and how far it is from the nearer of float64 (exact) and float32 (peer).

    What underflows in float32, as the gradient of a saturated unit, differs between those two.
    """
    nearer = min(deviation(found, exact), deviation(found, peer))
    return nearer <= TOLERANCE or as_exact(found, exact, [peer], MARGIN), nearer


def as_exact(found: Result, exact: Result, peers: Sequence[Result], margin: float) -> bool:
    """Return whether a result is at most so many times as far from float64 as PyTorch's in float32."""
    return deviation(found, exact) <= margin * max(deviation(peer, exact) for peer in peers)


def _relative(ours: Array, theirs: Array) -> float:
    largest = float(np.abs(theirs).max())
    away = float(np.abs(ours - theirs).max())
    return away / largest if largest else float(away > 0)
