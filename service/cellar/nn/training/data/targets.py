"""Reads the targets of a dataset as losses compare them, and the weights of the losses."""

from collections.abc import Sequence

import numpy as np

from cellar.engine import Floats, Mask
from cellar.errors import InvalidInput
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.data.unread import unread
from cellar.nn.training.objective import LossPart, Objective


def read_targets(
    data: Dataset, objective: Objective, first: int, factors: Sequence[float] | None, pointer: str
) -> tuple[Floats, Floats | None]:
    """Return the targets from the step `first` on, and the weights of the losses, in the columns of the objective.

    `factors` are those of the targets. Weights are None if all are 1. Raise InvalidInput with a pointer below `pointer`
    for targets that break a rule of their loss.
    """
    ignored = unread(data)
    ignored = None if ignored is None else ignored[first:]
    weights = [_weights(part, data, first, factors) for part in objective.parts]
    targets = []
    for part, own in zip(objective.parts, weights, strict=True):
        masked = _masked(ignored, own)
        if masked is not None and masked.all():
            raise InvalidInput("no target counts: all are masked or ignored", pointer=f"{pointer}/targets")
        given, size = data.targets[:, :, part.given], part.size * part.each
        where = f"{pointer}/targets"
        targets.append(part.loss.read_targets(given, size, first=first, pointer=where, ignored=masked))
    compared = np.ascontiguousarray(targets[0] if len(targets) == 1 else np.concatenate(targets, axis=2), np.float32)
    if all(own is None for own in weights):
        return compared, None
    shape = compared.shape[:2]
    columns = [
        np.broadcast_to(np.float32(1) if own is None else own, (*shape, part.each))
        for part, own in zip(objective.parts, weights, strict=True)
    ]
    counted = np.concatenate(columns, axis=2)
    if ignored is not None:
        counted[ignored] = 0
    return compared, np.ascontiguousarray(counted, np.float32)


def _weights(part: LossPart, data: Dataset, first: int, factors: Sequence[float] | None) -> Floats | None:
    """Return the weights (T, B, 1 or each) of the losses of a part; None if all are 1."""
    found: Floats | None = None
    if data.weights is not None:
        found = data.weights[first:, :, None] if data.weights.ndim == 2 else data.weights[first:, :, part.given]
        if part.each == 1:
            found = found.min(axis=2, keepdims=True)  # a step with one loss counts if all of its targets do
    if factors is not None:
        found = np.array(factors, np.float32) if found is None else found * np.array(factors, np.float32)
        found = np.broadcast_to(found, (*data.targets[first:].shape[:2], part.each))
    own = part.loss.target_weights(data.targets[first:, :, part.given], part.size * part.each)
    return found if own is None else own if found is None else found * own


def _masked(ignored: Mask | None, weights: Floats | None) -> Mask | None:
    """Return the mask (T, B) of the steps of which no target counts."""
    if weights is None:
        return ignored
    found: Mask = ~np.logical_or.reduce(weights != 0, axis=2)
    return found if ignored is None else found | ignored


def check_factors(objective: Objective, factors: Sequence[float] | None) -> None:
    """Raise InvalidInput for `target_weights` that are not one for each target."""
    if factors is None:
        return
    only, *others = objective.parts
    if others or not only.loss.separable:
        raise InvalidInput(
            f"the loss {'of several outputs' if others else only.loss.type} has no weights of single targets",
            pointer="/target_weights",
            expected="`weight` of each loss, or `class_weights`",
        )
    if len(factors) != only.each:
        raise InvalidInput(
            f"the model has {only.each} targets",
            pointer="/target_weights",
            expected=f"{only.each} weights",
            actual=f"{len(factors)} weights",
        )
