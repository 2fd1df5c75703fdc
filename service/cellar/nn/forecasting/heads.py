"""Reads the outputs of a forecast layer: central values, quantiles, and how far they were beside validation data.

Outputs are (..., out_size), central values (..., horizon, targets) and quantiles (..., horizon, targets, levels), all
in units of the targets.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.nn.model.layers.forecast import Distribution, ForecastSpec, Residuals
from cellar.nn.numerics.distributions import exp, negative_binomial_quantile, normal_quantile, student_quantile

Numbers = NDArray[np.floating]
Doubles = NDArray[np.float64]

CONFORMAL_LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""The quantiles whose residuals are measured: 0.05, 0.1, ..., 0.95."""

_DISTRIBUTIONS: dict[Distribution, Callable[[Doubles, Doubles], Doubles]] = {
    "gaussian": lambda own, level: own[..., :1] + own[..., 1:] * normal_quantile(level),
    "student": lambda own, level: own[..., :1] + own[..., 1:2] * student_quantile(level, own[..., 2:]),
    "negative_binomial": lambda own, level: negative_binomial_quantile(level, own[..., :1], own[..., 1:]),
}
"""For parameters (..., n) and levels (..., m) the quantiles (..., m)."""


def numbers(layer: ForecastSpec, outputs: Numbers) -> Doubles:
    """Return outputs as (..., horizon, targets, outputs of each)."""
    return np.asarray(outputs, np.float64).reshape(*outputs.shape[:-1], *layer.shape)


def central(layer: ForecastSpec, outputs: Numbers) -> Doubles:
    """Return the point, the mean or centre of a distribution, or the median of quantiles."""
    own = numbers(layer, outputs)
    if layer.levels is None:
        return _unlogged(layer, own[..., :1])[..., 0]
    return _between(layer.levels, np.sort(own, axis=-1), np.array([0.5]))[..., 0]


def own_quantiles(layer: ForecastSpec, outputs: Numbers, levels: Numbers) -> Doubles:
    """Return quantiles as the network says, without residuals; `levels` (..., m) are broadcast.

    Between the quantiles of a head, and beyond the outer ones, they lie on a line over quantiles of the normal
    distribution. Quantiles that cross are sorted (Chernozhukov et al. 2010).
    """
    own, level = numbers(layer, outputs), np.asarray(levels, np.float64)
    if layer.distribution is not None:
        return _unlogged(layer, _DISTRIBUTIONS[layer.distribution](own, level))
    if layer.levels is not None:
        return _between(layer.levels, np.sort(own, axis=-1), level)
    return own + np.zeros(level.shape)


def quantiles(
    layer: ForecastSpec,
    outputs: Numbers,
    levels: Numbers,
    factors: Numbers | None = None,
    scales: Numbers | None = None,
) -> Doubles:
    """Return quantiles with the residuals that were measured on validation data, if there are any.

    `factors` (..., horizon, targets) are those of the widths, if these adapt: distances from the median are multiplied.
    `scales` (..., targets) are those of the session, if residuals are in them.
    Levels (m,) give the ends of intervals, each of which holds the central value: one below a half is at most that, one
    above at least. Residuals that have nearly all one sign would put it outside.
    """
    found = own_quantiles(layer, outputs, levels)
    if layer.residuals is not None:
        measured = np.array(layer.residuals.values).reshape(layer.horizon, len(layer.targets), -1)
        beside = _between(layer.residuals.levels, measured, np.asarray(levels, np.float64))
        if factors is not None:
            centre = _between(layer.residuals.levels, measured, np.array([0.5]))
            beside = centre + np.asarray(factors, np.float64)[..., None] * (beside - centre)
        if scales is not None:
            beside = beside * np.asarray(scales, np.float64)[..., None, :, None]
        found = found + beside
    if np.ndim(levels) != 1:
        return found
    found = np.sort(found, axis=-1)
    return found if layer.residuals is None else _around(central(layer, outputs)[..., None], found, np.asarray(levels))


def _around(centre: Doubles, found: Doubles, levels: Numbers) -> Doubles:
    """Return quantiles (..., m) of which those below a half are at most the central value, and those above at least."""
    held = np.where(levels < 0.5, np.minimum(found, centre), found)
    return np.where(levels > 0.5, np.maximum(held, centre), held)


def measure_residuals(
    layer: ForecastSpec, outputs: Numbers, actual: Numbers, levels: Sequence[float] = CONFORMAL_LEVELS
) -> Residuals | None:
    """Return the residuals of forecasts (n, out_size) of values (n, horizon, targets), in which NaN is missing.

    A level q above a half takes the element number ceil((n + 1) q) of the sorted differences, so that a new value is
    below it with a probability of at least q if it is exchangeable with these (split conformal prediction, Vovk et al.
    2005). None if some step or target has no value.
    """
    own = own_quantiles(layer, outputs, np.array(levels))
    beside = np.sort(np.asarray(actual, np.float64)[..., None] - own, axis=0)  # NaN last
    counts = (~np.isnan(beside)).sum(axis=0)
    if not counts.size or counts.min() == 0:
        return None
    level = np.array(levels)
    place = np.where(level > 0.5, np.ceil((counts + 1) * level) - 1, np.floor((counts + 1) * level) - 1)
    place = np.where(level == 0.5, np.rint((counts - 1) / 2), place)
    at = np.clip(place, 0, counts - 1).astype(np.int64)
    chosen = np.take_along_axis(beside, at[None], axis=0)[0]
    values = tuple(float(np.float32(value)) for value in chosen.reshape(-1))
    return Residuals(levels=tuple(levels), values=values)


def scale_targets(layer: ForecastSpec, values: Numbers) -> Doubles:
    """Return values (..., targets) in the units in which the network is trained: the inverse of the layer.

    NaN stays NaN, and so becomes a value without a logarithm.
    """
    found = np.asarray(values, np.float64).copy()
    for index, target in enumerate(layer.targets):
        column = found[..., index]
        if target.log:
            shifted = column + target.offset
            column = np.log(shifted, out=np.full(shifted.shape, math.nan), where=shifted > 0)
        found[..., index] = (column - target.shift) / target.scale
    return found


def _unlogged(layer: ForecastSpec, values: Doubles) -> Doubles:
    """Return values (..., targets, m) in units of the targets: distributions are those of logarithms."""
    if layer.distribution is None or not any(target.log for target in layer.targets):
        return values
    found = values.copy()
    for index, target in enumerate(layer.targets):
        if target.log:
            found[..., index, :] = exp(values[..., index, :]) - target.offset
    return found


def _between(known: Sequence[float], values: Doubles, levels: Doubles) -> Doubles:
    """Return values (..., known) at other levels (..., m): linear over quantiles of the normal distribution."""
    if len(known) == 1:
        return values + np.zeros(levels.shape)
    at, wanted = normal_quantile(np.array(known)), normal_quantile(levels)
    left = np.clip(np.searchsorted(at, wanted, side="right") - 1, 0, len(known) - 2)
    share = (wanted - at[left]) / (at[left + 1] - at[left])
    if levels.ndim == 1:
        low, high = values[..., left], values[..., left + 1]
    else:
        shape = np.broadcast_shapes(values.shape[:-1], levels.shape[:-1])
        values = np.broadcast_to(values, (*shape, values.shape[-1]))
        left = np.broadcast_to(left, (*shape, levels.shape[-1]))
        low, high = (np.take_along_axis(values, part, axis=-1) for part in (left, left + 1))
    return low + (high - low) * share
