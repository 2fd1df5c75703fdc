"""Finds inputs that are copies of a target, at the same step or at one that is forecast."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cellar.nn.readings.columns import NumberColumn
from cellar.table import Table

LEAKING = 1e-6, 0.01
"""An input that differs from the target by less than this share of its largest distance from the mean is a copy of it.
Copies with all digits are looked for first, at every lead, and then those that were rounded after other units."""

MOST_LEADS = 24
"""The most steps ahead at which an input is compared with a target."""

LEAST_PAIRS = 8
"""A straight line passes through two points, and nearly through a few."""

FEW = 64
"""Steps that show of most inputs that they are no copies."""

SAMPLE = 20_000
"""Steps of the longest series that are looked at."""


def leaks(table: Table, targets: Sequence[str], columns: Sequence[Any], longest: slice, horizon: int) -> Iterator[str]:
    """Yield a warning for each input that is a copy of a target, at the same step or at one that is forecast."""
    for target in targets:
        y = table.values[target][longest][-SAMPLE:].astype(np.float64)
        for column in columns:
            if not isinstance(column, NumberColumn) or column.name in targets or column.fitted is None:
                continue
            x = table.values[column.name][longest][-SAMPLE:].astype(np.float64)
            leads = range(min(horizon, MOST_LEADS, len(x) - 1) + 1)
            copies = ((lead, share) for share in LEAKING for lead in leads)
            lead = next((lead for lead, share in copies if _is_copy(x[: len(x) - lead], y[lead:], share)), None)
            if lead == 0:
                yield (
                    f"the input {column.name!r} is the target {target!r} at the same time, up to scale: it cannot help"
                    " to forecast it, and may be missing when forecasts are needed"
                )
            elif lead is not None:
                steps = "step" if lead == 1 else "steps"
                yield (
                    f"the input {column.name!r} is the target {target!r} {lead} {steps} later, up to scale:"
                    " leave it out of `inputs`, unless it is known when forecasts are needed"
                )


def _is_copy(x: Any, y: Any, share: float) -> bool:
    """Return whether y = a x + b within a share of its scale, where both have readings."""
    some = slice(-FEW, None)
    return (len(x) <= FEW or _is_line(x[some], y[some], share) is not False) and _is_line(x, y, share) is True


def _is_line(x: Any, y: Any, share: float) -> bool | None:
    """Return whether y = a x + b, None if there are too few readings, or all are the same."""
    both = ~np.isnan(x) & ~np.isnan(y)
    if both.sum() < LEAST_PAIRS:
        return None
    x, y = x[both], y[both]
    dx, dy = x - x.mean(), y - y.mean()
    spread = float((dx * dx).sum())
    if spread == 0 or not dy.any():
        return None
    rest = dy - (dx * dy).sum() / spread * dx
    return bool(np.abs(rest).max() <= share * max(np.abs(dy).max(), 1e-300))
