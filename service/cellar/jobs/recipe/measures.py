"""Measures a trained forecast on the held-out steps, beside the naive forecasts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.jobs.recipe.series import Scale, Series, ahead
from cellar.jobs.recipe.widths import Recent
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy import baselines

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK = 1024
"""Steps of a call."""

MOST_ORIGINS = 50_000
"""The most origins of forecasts that are measured; of more, evenly spaced ones are taken."""

SERIES_AT_ONCE = 64


def outputs(network: BoundNetwork, series: Sequence[Series]) -> Iterator[tuple[Series, Doubles]]:
    """Yield each series with the outputs (n, out_size) of its held-out steps.

    The state is carried from the first step of the series, as in a session that began there.
    """
    for begin in range(0, len(series), SERIES_AT_ONCE):
        yield from _outputs(network, series[begin : begin + SERIES_AT_ONCE])


def _outputs(network: BoundNetwork, series: Sequence[Series]) -> Iterator[tuple[Series, Doubles]]:
    size, steps = series[0].features.shape[1], max(each.steps for each in series)
    state = network.initial_state(len(series))
    found = [list[Floats]() for _ in series]
    for begin in range(0, steps, BLOCK):
        end = min(begin + BLOCK, steps)
        inputs: Floats = np.zeros((end - begin, len(series), size), np.float32)
        lengths = np.array([min(max(each.steps - begin, 0), end - begin) for each in series], np.int32)
        for row, each in enumerate(series):
            inputs[: lengths[row], row] = each.features[begin : begin + lengths[row]]
        run = network.run(inputs, state, None if int(lengths.min()) == end - begin else lengths)
        state = run.state
        for row, each in enumerate(series):
            first = max(0, each.trained - begin)
            if first < lengths[row]:
                found[row].append(run.outputs[first : lengths[row], row].copy())
    for each, parts in zip(series, found, strict=True):
        yield each, np.concatenate(parts).astype(np.float64)


NAMES = ("model", "last_value", "seasonal_value", "mean")


@dataclass(frozen=True, slots=True)
class Compared:
    """Mean absolute errors over the same held-out readings. None: not known."""

    model: float | None
    last_value: float | None
    seasonal_value: float | None
    mean: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """The errors of a network and of the naive forecasts, and the quantiles of its residuals."""

    compared: Compared
    """The errors in units of the targets' scale."""
    residuals: Doubles
    """(horizon, targets, levels), scaled: quantiles of the differences of readings and forecasts."""
    count: int
    """The number of origins of forecasts."""
    recent: Recent
    mae: float | None
    """The mean absolute error of the network in the units of the targets."""
    by_target: list[Compared]
    """The errors of each target in its units."""


def measure(
    network: BoundNetwork,
    series: Sequence[Series],
    horizon: int,
    scale: Scale,
    period: int | None,
    levels: Sequence[float],
) -> Measured:
    """Measure a trained network on the held-out steps, with the naive forecasts beside it."""
    step = -(-sum(max(0, each.steps - 1 - each.trained) for each in series) // MOST_ORIGINS) or 1
    found, recent = [], Recent(len(series))
    for each, given in outputs(network, series):
        own = (each.scale or scale).at(slice(each.trained, each.steps))
        raw = own.raw(given.reshape(len(given), horizon, -1))
        found.append(_compare(each, raw, own, period, step))
        recent.add(each, raw.reshape(given.shape), None if each.scale is None else own.scale)
    differences = {name: np.concatenate([one[name] for one in found]) for name in ("scale", *NAMES)}
    scales = differences.pop("scale")
    compared = Compared(**{name: _mean(np.abs(values)) for name, values in differences.items()})
    residuals = differences["model"]
    present = ~np.isnan(residuals).all(axis=0)
    quantiles = np.zeros((*residuals.shape[1:], len(levels)))
    for step_ahead, target in np.argwhere(present).tolist():
        quantiles[step_ahead, target] = _quantiles(residuals[:, step_ahead, target], levels)
    by_target = [
        Compared(
            **{name: _mean(np.abs(values[..., target]) * scales[..., target]) for name, values in differences.items()}
        )
        for target in range(residuals.shape[2])
    ]
    return Measured(compared, quantiles, len(residuals), recent, _mean(np.abs(residuals) * scales), by_target)


def _compare(series: Series, given: Doubles, scale: Scale, period: int | None, step: int) -> dict[str, Doubles]:
    """Return scaled differences of readings and forecasts (origins, horizon, targets), NaN where one is missing.

    `given` are the forecasts from the held-out steps, in units of the targets, and `scale` is that of these steps. The
    member `scale` has the scales by which differences are divided, (origins, 1, targets).
    """
    origins, horizon = np.arange(series.trained, series.steps - 1, step), given.shape[1]
    actual = _ahead_of(series.targets, origins, horizon)
    values, shape = series.targets, actual.shape
    forecasts = {
        "model": given[origins - series.trained],
        "last_value": baselines.last_value(values, origins, horizon),
        "seasonal_value": np.full(shape, np.nan),
        "mean": baselines.mean_value(values, origins, horizon, series.trained),
    }
    if period is not None and series.trained > period:
        forecasts["seasonal_value"] = baselines.seasonal_value(values, origins, horizon, period)
    divided = scale.at(origins - series.trained).scale[..., None, :]
    found = {name: (actual - forecast) / divided for name, forecast in forecasts.items()}
    return found | {"scale": np.broadcast_to(divided, (len(origins), 1, shape[2]))}


def _ahead_of(targets: Doubles, origins: NDArray[np.int64], horizon: int) -> Doubles:
    if not len(origins):
        return np.empty((0, horizon, targets.shape[1]))
    found: Doubles = ahead(targets, int(origins[0]), int(origins[-1]) + 1, horizon)[origins - origins[0]]
    return found


def _mean(values: Doubles) -> float | None:
    """Return the mean of what is not missing, in an order that is the same on every machine."""
    present = values[~np.isnan(values)]
    return float(np.cumsum(present)[-1] / len(present)) if len(present) else None


def _quantiles(values: Doubles, levels: Sequence[float]) -> Doubles:
    """Return conformal quantiles (levels,) of residuals: the finite sample makes intervals a little wider."""
    present = np.sort(values[~np.isnan(values)])
    count = len(present)
    found: Doubles = np.interp((count + 1) * np.asarray(levels) - 1, np.arange(count), present)
    return found
