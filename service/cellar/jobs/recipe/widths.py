"""Widths of intervals that follow the errors of a session: their rate, and where the validation part leaves them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.jobs.recipe.choices import Choice
from cellar.jobs.recipe.series import Series
from cellar.nn.forecasting.widths import Adapting
from cellar.nn.model.interval_widths import Adaptation, places_of
from cellar.nn.model.layers.forecast import ForecastSpec, Residuals
from cellar.nn.model.layers.readings import ReadingsSpec

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

RATE = 2.5
"""Times 1 / sqrt(held-out steps): the order of the best rate for as many errors (Gibbs and Candes 2024). With 1 and
1.5 intervals of the short series of `benchmarks.forecasting` cover too little, with 5 they are too wide."""

MOST_RATE = 0.5

RECENT = 1000
"""The last held-out steps of a series, which move its factors: those before have no influence on them."""

MOST_SERIES = 64
"""Of more series evenly spaced ones are taken."""

MOST_OUTPUTS = 4096
"""Widths of more outputs do not adapt: a session would keep three numbers for each."""

WHY = "The widths of a session's intervals follow the errors of its own forecasts: 80% stay 80% when these change."


def adapts(readings: ReadingsSpec, forecast: ForecastSpec) -> bool:
    """Return whether widths can adapt: the network reads the targets in units in which it forecasts them."""
    names = [target.name for target in forecast.targets]
    is_plain = forecast.head == "point" and not any(target.log for target in forecast.targets)
    places = places_of(readings.layout, names, session_scale=forecast.session_scale)
    return is_plain and forecast.out_size <= MOST_OUTPUTS and places is not None


def choice_of(readings: ReadingsSpec, forecast: ForecastSpec) -> Choice:
    """Return the choice between widths that adapt and fixed ones."""
    if adapts(readings, forecast):
        return Choice("intervals", "adaptive", WHY)
    return Choice("intervals", "fixed", "They are those of the validation part: the targets are not read as forecast.")


def rate_of(origins: int, series: int) -> float:
    """Return the rate for that many held-out steps of all series."""
    return float(min(MOST_RATE, RATE / np.sqrt(max(1.0, origins / series))))


class Recent:
    """The last held-out steps of series."""

    def __init__(self, series: int) -> None:
        """`series` is the number of all series."""
        self._every = -(-series // MOST_SERIES)
        self._seen = 0
        self._parts: list[tuple[Doubles, Doubles]] = []
        self._scales: list[Doubles] = []

    def add(self, series: Series, outputs: Doubles, scales: NDArray[np.floating] | None = None) -> None:
        """Add a series with the outputs (n, horizon x targets) of its held-out steps, in units of targets.

        `scales` (n, targets) are those that a session keeps, if it does.
        """
        if self._seen % self._every == 0:
            self._parts.append((series.targets[series.trained :][-RECENT:], outputs[-RECENT:]))
            if scales is not None:
                self._scales.append(np.asarray(scales[-RECENT:], np.float64))
        self._seen += 1

    def adapted(self, layer: ForecastSpec, rate: float) -> Adaptation:
        """Return the rate with the factors that these steps lead to, averaged over the series."""
        horizon, targets = layer.horizon, len(layer.targets)
        begun = Adaptation(rate=rate, factors=(1.0,) * (horizon * targets))
        assert layer.residuals is not None
        residuals = layer.residuals.model_copy(update={"adaptation": begun})
        widths = Adapting.new(layer.model_copy(update={"residuals": residuals}), len(self._parts))
        assert widths is not None
        steps = max(len(readings) for readings, _ in self._parts)
        readings = self._aligned([each for each, _ in self._parts], steps)
        outputs = self._aligned([each for _, each in self._parts], steps)
        scales = np.nan_to_num(self._aligned(self._scales, steps), nan=1.0) if self._scales else None
        for step in range(steps):
            known = ~np.isnan(outputs[step]).any(axis=1)
            there = ~np.isnan(readings[step])
            scale = None if scales is None else scales[step]
            widths.step(np.nan_to_num(readings[step]), there, np.nan_to_num(outputs[step]), known, scale)
        total = np.cumsum(widths.factors.astype(np.float64), axis=0)[-1] / len(self._parts)
        return begun.model_copy(update={"factors": tuple(float(np.float32(each)) for each in total.reshape(-1))})

    def _aligned(self, parts: Sequence[Doubles], steps: int) -> Floats:
        """Return arrays (n, size) of several lengths as one (steps, rows, size), NaN before shorter ones."""
        found: Floats = np.full((steps, len(parts), parts[0].shape[1]), np.nan, np.float32)
        for row, part in enumerate(parts):
            found[steps - len(part) :, row] = part
        return found


def with_residuals(layer: ForecastSpec, residuals: Residuals, recent: Recent, rate: float | None) -> ForecastSpec:
    """Return the layer with residuals, whose widths adapt unless the rate is None."""
    found = layer.model_copy(update={"residuals": residuals})
    if rate is None:
        return found
    adaptation = recent.adapted(found, rate)
    return layer.model_copy(update={"residuals": residuals.model_copy(update={"adaptation": adaptation})})
