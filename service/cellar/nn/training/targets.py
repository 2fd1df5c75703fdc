"""Targets of the two losses that compare with probabilities: checked, and class indices written out."""

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput

Array = NDArray[np.float32]

SUM_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1: room for those that were rounded, as 0.333 for each of three."""


def read_targets(targets: Array, loss: str, out_size: int, *, first: int, pointer: str) -> Array:
    """Return what `loss` compares with, (T - first, B, out_size): the targets (T, B, F) from the step `first` on.

    Steps before it are not scored and may hold anything. Raise InvalidInput with that pointer for a probability
    outside 0 to 1, probabilities of classes that do not sum to 1, or a number that is no class index.
    """
    scored = targets[first:]
    if loss == "cross_entropy" and targets.shape[2] == 1:
        return _one_hot(scored, out_size, first, pointer)
    if loss in ("binary_cross_entropy", "cross_entropy"):
        outside = (scored < 0) | (scored > 1)
        _refuse(outside, first, pointer, "a target is no probability", "numbers from 0 to 1")
    if loss == "cross_entropy":
        beside = abs(scored.sum(axis=2, dtype=np.float64) - 1) > SUM_TOLERANCE
        _refuse(beside, first, pointer, "the probabilities of classes do not sum to 1", f"a sum of 1 ± {SUM_TOLERANCE}")
    return scored


def _one_hot(indices: Array, classes: int, first: int, pointer: str) -> Array:
    """Return class indices (T, B, 1) as probabilities (T, B, classes)."""
    known = np.arange(classes, dtype=np.float32)
    unknown = ~np.isin(indices, known)
    _refuse(unknown, first, pointer, "a target is no class index", f"whole numbers from 0 to {classes - 1}")
    found: Array = (indices == known).astype(np.float32)
    return found


def _refuse(faulty: NDArray[np.bool_], first: int, pointer: str, fault: str, expected: str) -> None:
    """Raise for the earliest fault in (T, B, ...), without the number: it may be private."""
    if faulty.any():
        step, row = np.argwhere(faulty)[0, :2].tolist()
        raise InvalidInput(f"{fault}: step {first + step}, row {row}, from 0", pointer=pointer, expected=expected)
