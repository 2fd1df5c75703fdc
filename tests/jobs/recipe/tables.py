"""Tables of readings for the tests of the recipe."""

import numpy as np
from numpy.typing import NDArray

from cellar.table import Column, Table

Doubles = NDArray[np.float64]

DAY = 24


def hourly(days: int, *, seed: int = 1, series: int = 1, **further: Doubles) -> Table:
    """Return hourly readings `temp`: a day's wave, a slow walk and noise, for series that begin with `a`."""
    random = np.random.default_rng(seed)
    steps = days * DAY
    parts = []
    for _ in range(series):
        wave = 5 * np.sin(2 * np.pi * np.arange(steps) / DAY)
        parts.append(15 + wave + np.cumsum(random.normal(0, 0.1, steps)) + random.normal(0, 0.3, steps))
    return table({"temp": np.concatenate(parts)} | further, [steps] * series)


def table(columns: dict[str, Doubles], lengths: list[int], interval_s: float = 3600.0) -> Table:
    """Return a table of numbers with the column of times `at`."""
    found = [Column("at", "time", "time"), *(Column(name, "number") for name in columns)]
    times = np.concatenate([np.arange(length) * interval_s for length in lengths])
    values = {name: np.asarray(values, np.float32) for name, values in columns.items()}
    ids = [""] if len(lengths) == 1 else [chr(ord("a") + index) for index in range(len(lengths))]
    return Table(tuple(found), ids, np.cumsum([0, *lengths]), times, values)
