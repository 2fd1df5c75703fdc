"""The data of the demo: weekly carbon dioxide at Mauna Loa, divided into a training part and a held-out part.

The network reads the change since the week before, one number for each week. It does not read the level, which rises
beyond all values of the training part. Its state has to represent the season.
"""

import csv
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

HELD_OUT_WEEKS = 8 * 52

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Weeks without a gap, and their measurements in parts per million (ppm)."""

    weeks: tuple[date, ...]
    values: Floats
    """(n,): the value of each week; weeks without a measurement are interpolated linearly."""
    measured: NDArray[np.bool_]
    """(n,): whether the week was measured."""
    held_out: int
    """The number of weeks at the end that are not trained on."""

    @property
    def first_held_out(self) -> int:
        """Return the index of the first week that is held out."""
        return len(self.weeks) - self.held_out

    @cached_property
    def scale(self) -> float:
        """Return the standard deviation of the weekly changes of the training part, in ppm."""
        return float(np.diff(self.values[: self.first_held_out]).std())

    @cached_property
    def changes(self) -> Floats:
        """Return (n - 1,): the change into each week but the first, in units of `scale`."""
        return np.diff(self.values) / self.scale

    def training(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return inputs and targets of the training part, (T, 1) each: the change into a week, and into the next."""
        known = self.changes[: self.first_held_out - 1, None]
        return known[:-1].tolist(), known[1:].tolist()

    def stream(self) -> list[float]:
        """Return the input for the forecast of each held-out week: the change into the week before it.

        These inputs follow those of `training` without gap or overlap.
        """
        found: list[float] = self.changes[self.first_held_out - 2 : -1].tolist()
        return found

    def persistence(self) -> Floats:
        """Return (held_out,): the last value before each held-out week, which is the simplest forecast."""
        return self.values[self.first_held_out - 1 : -1]

    def truth(self) -> Floats:
        """Return (held_out,): the values of the held-out weeks."""
        return self.values[self.first_held_out :]

    def forecasts(self, outputs: ArrayLike) -> Floats:
        """Return (held_out,) in ppm for the network's outputs, one for each input of `stream`."""
        return self.persistence() + self.scale * np.array(outputs)


def load() -> Series:
    """Read the series from the package; `mauna_loa_co2.md` beside it has its source and licence."""
    with files(__package__).joinpath("mauna_loa_co2.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    weeks = tuple(datetime.strptime(row["date"], "%Y%m%d").date() for row in rows)  # noqa: DTZ007  # a day, no time
    measured = np.array([bool(row["co2"]) for row in rows])
    index = np.arange(len(rows))
    values = np.interp(index, index[measured], [float(row["co2"]) for row in rows if row["co2"]])
    return Series(weeks, values, measured, HELD_OUT_WEEKS)


def rmse(forecasts: Floats, truth: Floats) -> float:
    """Return the root of the mean squared error."""
    return float(np.sqrt(np.mean((forecasts - truth) ** 2)))
