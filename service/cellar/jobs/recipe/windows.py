"""Cuts series into windows of equal length, the rows of a training run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.jobs.recipe.series import Scale, Series, ahead
from cellar.nn.training.data.dataset import Dataset

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of windows: `skip` steps prepare the state, and the rest is scored."""

    window: int
    skip: int
    horizon: int
    every: int = 1
    """Of long data one of this number of windows is trained on, evenly spaced: memory does not grow with the data."""

    @property
    def scored(self) -> int:
        """The scored steps of a window."""
        return self.window - self.skip


def dataset(series: Sequence[Series], shape: Shape, scale: Scale, since: int) -> Dataset:
    """Return training and validation windows. The first `since` steps of a series are not scored.

    Forecasts of trained steps reach no held-out readings. A validation window begins with trained steps, which prepare
    its state.
    """
    trained = [(each, shape.skip, each.trained - shape.horizon, since) for each in series]
    held_out = [(each, each.trained, max(each.trained, each.steps - 1), 0) for each in series]
    validation = _windows(held_out, shape, scale)
    found = _windows(trained, shape, scale)
    return Dataset(found.inputs, found.targets, validation if validation.inputs.shape[1] else None, None, found.weights)


Part = tuple[Series, int, int, int]
"""A series, its first and its last scored step, and the first that counts."""


def _windows(parts: Sequence[Part], shape: Shape, scale: Scale) -> Dataset:
    begins = [(part, begin) for part in parts for begin in _begins(part, shape)]
    features, outputs = parts[0][0].features.shape[1], shape.horizon * parts[0][0].targets.shape[1]
    inputs: Floats = np.zeros((shape.window, len(begins), features), np.float32)
    targets: Floats = np.zeros((shape.scored, len(begins), outputs), np.float32)
    weights: Floats = np.zeros((shape.scored, len(begins)), np.float32)
    for row, ((series, first, last, since), begin) in enumerate(begins):
        steps = slice(max(0, begin), min(begin + shape.window, series.steps))
        inputs[steps.start - begin : steps.stop - begin, row] = series.features[steps]
        at = np.arange(begin + shape.skip, begin + shape.window)
        counts = (at >= max(first, since)) & (at < last)
        known = np.clip(at, 0, series.steps - 1)
        own = (series.scale or scale).at(slice(int(known[0]), int(known[-1]) + 1))
        future = own.scaled(ahead(series.targets, int(known[0]), int(known[-1]) + 1, shape.horizon))
        future = future[known - known[0]].reshape(len(at), outputs)
        present = ~np.isnan(future)
        weights[:, row] = np.where(counts, present.all(axis=1), 0)
        targets[:, row] = np.where(present, future, 0)
    return Dataset(inputs, targets, None, None, weights)


def _begins(part: Part, shape: Shape) -> Iterator[int]:
    """Yield the first steps of windows that together score each step once, the last window aligned with the end."""
    _, first, last, _ = part
    yield from range(first - shape.skip, last - shape.skip, shape.scored * shape.every)


def count_windows(trained: Sequence[int], shape: Shape) -> int:
    """Return the number of training windows of series with these numbers of trained steps."""
    return sum(
        len(range(0, max(0, steps - shape.horizon - shape.skip), shape.scored * shape.every)) for steps in trained
    )
