"""Checks lengths and weights of a dataset, and clears the numbers that no run reads."""

from dataclasses import replace

import numpy as np

from cellar.engine import Floats, Ints, Mask
from cellar.errors import InvalidInput, NotFinite, ShapeMismatch
from cellar.nn.training.data.dataset import Dataset


def without_unread(data: Dataset, first: int, pointer: str) -> Dataset:
    """Return the data with 0 for all numbers after the end of a row, and for targets of weight 0.

    Weights are 0 after the end of a row, too. The first `first` steps of each row are not scored. Raise InvalidInput,
    ShapeMismatch or NotFinite with a pointer below `pointer` for lengths and weights that are not valid.
    """
    if data.weights is not None:
        _check_weights(data.weights, data.targets.shape, f"{pointer}/weights")
    if data.lengths is not None:
        _check_lengths(data.lengths, data.inputs.shape[:2], first, f"{pointer}/lengths")
        data = _cut(data, data.lengths)
    if data.weights is None:
        return data
    if not data.weights[first - len(data.inputs) + len(data.targets) :].any():
        raise InvalidInput("no target counts: all weights are 0", pointer=f"{pointer}/weights")
    weights = data.weights if data.weights.ndim == 3 else data.weights[:, :, None]
    return replace(data, targets=np.where(weights == 0, np.float32(0), data.targets))


def unread(data: Dataset) -> Mask | None:
    """Return the mask (T', B) of the steps whose targets do not count; None if all count."""
    if data.weights is not None:
        masked: Mask = data.weights == 0
        return masked if masked.ndim == 2 else np.logical_and.reduce(masked, axis=2)
    if data.lengths is None:
        return None
    steps = np.arange(len(data.inputs) - len(data.targets), len(data.inputs))
    found: Mask = steps[:, None] >= data.lengths
    return found


def _cut(data: Dataset, lengths: Ints) -> Dataset:
    """Return the data with 0 after the end of each row."""
    steps, shift = np.arange(len(data.inputs))[:, None], len(data.inputs) - len(data.targets)
    present = steps < lengths
    inputs, targets = (
        np.where(mask[:, :, None], array, np.float32(0))
        for mask, array in ((present, data.inputs), (present[shift:], data.targets))
    )
    weights = None if data.weights is None else data.weights.copy()
    if weights is not None:
        weights[~present[shift:]] = 0
    return replace(data, inputs=inputs, targets=targets, weights=weights)


def _check_lengths(lengths: Ints, shape: tuple[int, ...], first: int, pointer: str) -> None:
    steps, rows = shape
    if lengths.shape != (rows,):
        raise ShapeMismatch(
            f"expected a length for each of {rows} rows",
            pointer=pointer,
            expected=f"({rows},)",
            actual=str(lengths.shape),
        )
    for row, length in enumerate(lengths.tolist()):
        if not first < length <= steps:
            besides = ", so that a step is scored after `warmup` and `skip`" if first else ""
            raise InvalidInput(
                f"the row {row}, from 0, has a length of {length} steps",
                pointer=f"{pointer}/{row}",
                expected=f"{first + 1} to {steps} steps{besides}",
                actual=str(length),
            )


def _check_weights(weights: Floats, shape: tuple[int, ...], pointer: str) -> None:
    if weights.shape not in (shape[:2], shape):
        raise ShapeMismatch(
            "expected a weight for each step and row of the targets, or for each target",
            pointer=pointer,
            expected=f"{shape[:2]} or {shape}",
            actual=str(weights.shape),
        )
    if not np.isfinite(weights).all():
        raise NotFinite("weights hold a number that is not finite", pointer=pointer)
    faulty = np.argwhere(weights < 0)
    if len(faulty):
        step, row = faulty[0].tolist()
        raise InvalidInput(
            f"a weight is negative: step {step}, row {row}, from 0", pointer=pointer, expected="numbers from 0"
        )
