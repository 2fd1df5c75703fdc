"""Chooses whether each series has a scale of its own: where the levels or deviations of series differ much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.jobs.recipe.choices import Choice
from cellar.nn.readings.columns import MAX_SERIES, NumberColumn, SeriesColumn
from cellar.table import Table

Doubles = NDArray[np.float64]

DIFFER = 10.0
"""Series are scaled each by its own numbers if their deviations differ as many times, or their levels by as many usual
deviations. Below, one scale for all forecasts as well, and says more: the level of a series may matter."""

QUARTILES = 1.349
"""The distance of the quartiles of a normal distribution, in deviations."""

LEAST_READINGS = 8
"""Fewer readings of a series say nothing about its scale: a session then has that of its own readings."""

MOST_ROWS = 100_000
"""Of a longer series as many, evenly spaced rows are looked at."""

SAMPLED = 512
"""Of more than MAX_SERIES series as many, evenly spaced ones are looked at."""


@dataclass(frozen=True, slots=True)
class OwnScales:
    """The scale of a column in each series."""

    shift: Doubles
    """(series,), NaN for series with too few readings, or only one number."""
    scale: Doubles
    relative: float
    """The median deviation of a series, as a share of its mean absolute reading."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which series have a scale."""
        return np.isfinite(self.scale)

    @property
    def differ(self) -> bool:
        """Whether levels or deviations of the series differ much."""
        shift, scale = self.shift[self.known], self.scale[self.known]
        if len(scale) < 2:
            return False
        usual = float(np.median(scale))
        return bool(scale.max() >= DIFFER * scale.min() or np.ptp(shift) >= DIFFER * usual)


def own_scales(table: Table, name: str, trained: Sequence[slice]) -> OwnScales:
    """Return median and quartile range of a column in the training part of each series, as a normal deviation."""
    count = len(trained)
    looked = range(count) if count <= MAX_SERIES else np.linspace(0, count - 1, SAMPLED).astype(np.int64).tolist()
    shift, scale, relative = np.full(count, np.nan), np.full(count, np.nan), list[float]()
    for index in looked:
        rows = trained[index]
        step = -(-(rows.stop - rows.start) // MOST_ROWS) or 1
        values = np.asarray(table.values[name][rows][::step], np.float64)
        values = np.sort(values[~np.isnan(values)])
        if len(values) < LEAST_READINGS or values[0] == values[-1]:
            continue
        low, middle, high = (float(values[round(part * (len(values) - 1))]) for part in (0.25, 0.5, 0.75))
        deviation = (high - low) / QUARTILES
        if deviation <= 0:
            middle = float(np.cumsum(values)[-1] / len(values))
            deviation = float(np.sqrt(np.cumsum((values - middle) ** 2)[-1] / len(values)))
        level = float(np.cumsum(np.abs(values))[-1] / len(values))
        if not deviation > 1e-9 * level:
            continue
        shift[index], scale[index] = middle, deviation
        relative.append(deviation / level)
    return OwnScales(shift, scale, float(np.clip(np.median(relative), 1e-6, 100)) if relative else 0.1)


def scaled_by_session(
    table: Table, columns: Sequence[NumberColumn], found: Mapping[str, OwnScales]
) -> tuple[list[NumberColumn], SeriesColumn | None]:
    """Return columns with the scale of the session, and the column of the ids that have one; None: all are causal."""
    known = np.logical_and.reduce([found[column.name].known for column in columns])
    name = next((column.name for column in table.columns if column.role == "series"), None)
    is_causal = name is None or len(known) > MAX_SERIES or not known.any()
    scaled = []
    for column in columns:
        assert column.fitted is not None
        own, update = found[column.name], dict[str, object]()
        update["relative"] = own.relative
        if not is_causal:
            update["series_shift"] = tuple(own.shift[known].tolist())
            update["series_scale"] = tuple(own.scale[known].tolist())
        kind: dict[str, object] = {"scaling": "causal"} if is_causal else {"per_series": True}
        fitted = column.fitted.model_copy(update=update)
        scaled.append(column.model_copy(update={"session_scale": True, "fitted": fitted, **kind}))
    if is_causal or name is None:
        return scaled, None
    ids = tuple(str(table.series_ids[index]) for index in np.flatnonzero(known).tolist())
    return scaled, SeriesColumn(name=name, ids=ids)


def choice_of(found: OwnScales, column: str, series: SeriesColumn | None) -> Choice:
    """Return the choice of scales of the series, for the column whose series differ."""
    shift, scale = found.shift[found.known], found.scale[found.known]
    why = (
        f"The series differ: {column} has levels of {shift.min():.4g} to {shift.max():.4g}, and deviations of"
        f" {scale.min():.4g} to {scale.max():.4g}. "
    )
    if series is None:
        return Choice("scaling", "causal", why + "A session is scaled by its own readings so far.")
    more = "Each is scaled by its own median and quartiles, and a session of another series by its readings so far."
    return Choice("scaling", "per_series", why + more)
