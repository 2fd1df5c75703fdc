"""The naive forecasts of one series, whose rows are read in order: the last value, the seasonal value and the mean.

They are those of `baselines`. Of the rows that were read the last value and one period are kept, so that the memory
does not grow with the series. Of the training part sums are made, and its newest rows are looked at for a period.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.nn.forecasting.accuracy import baselines
from cellar.nn.forecasting.accuracy.comparison import Series
from cellar.nn.forecasting.accuracy.totals import MeanOf

Doubles = NDArray[np.float64]

ROWS = 65_536
"""Rows of the training part that are read at once."""

MOST_PERIOD_ROWS = 1_000_000
"""Newest rows of the training part in which a period is looked for."""


class Naive:
    """The naive forecasts of a series and the units of its errors."""

    def __init__(self, series: Series, trained: int, period: int | None) -> None:
        """`trained` is the number of rows of the training part; a `period` is found without one."""
        targets = series.actual[:1].shape[1]
        means, units = [MeanOf() for _ in range(targets)], [MeanOf() for _ in range(targets)]
        for begin in range(0, trained, ROWS):
            rows = series.actual[max(0, begin - 1) : min(begin + ROWS, trained)]
            for column, mean, unit in zip(rows.T, means, units, strict=True):
                mean.add(column[1 if begin else 0 :])
                unit.add(np.abs(column[1:] - column[:-1]))
        self.units = [each.value for each in units]
        """For each target the unit of mase: the mean absolute error of repeating the last value."""
        self._mean = np.array([each.value for each in means])
        self._last = np.full(targets, np.nan)
        newest = series.actual[max(0, trained - MOST_PERIOD_ROWS) : trained]
        periods = [period or baselines.find_period(column) for column in newest.T]
        self._cycles = [np.full(each or 1, np.nan) for each in periods]
        self._has_period = any(each is not None for each in periods)
        self._read = 0

    def read(self, rows: Doubles) -> None:
        """Take the next rows (n, targets)."""
        at = np.arange(self._read, self._read + len(rows))
        for target, (column, cycle) in enumerate(zip(rows.T, self._cycles, strict=True)):
            present = ~np.isnan(column)
            if present.any():
                self._last[target] = column[present][-1]
                cycle[at[present] % len(cycle)] = column[present]  # of equal places the last one is kept
        self._read += len(rows)

    def forecast(self, horizon: int) -> dict[str, Doubles]:
        """Return the forecasts (horizon, targets) of the rows behind those that were read."""
        found = {
            name: np.tile(values, (horizon, 1)) for name, values in (("last_value", self._last), ("mean", self._mean))
        }
        if self._has_period:
            ahead = self._read + np.arange(horizon)
            found["seasonal"] = np.stack([cycle[ahead % len(cycle)] for cycle in self._cycles], axis=1)
        return found
