"""The shipped series: weekly carbon dioxide at Mauna Loa, cut into a part to learn from and a part held out.

A network sees changes from week to week and not the level, which rises beyond everything it was trained on. What it
is told at a week is one number, the change since the week before; the season is for its state to remember.
"""

import csv
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

HELD_OUT_WEEKS = 8 * 52

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Weeks without a gap, and their measurements in parts per million (ppm)."""

    weeks: tuple[date, ...]
    values: Floats
    """(n,): of each week; where none was measured, on the straight line between its neighbours."""
    measured: NDArray[np.bool_]
    """(n,): whether the week was measured."""
    held_out: int
    """How many weeks at the end are not learnt from."""

    @property
    def first_held_out(self) -> int:
        """Return the index of the first week that is held out."""
        return len(self.weeks) - self.held_out

    @cached_property
    def scale(self) -> float:
        """Return the standard deviation of the weekly changes in ppm, of the part to learn from alone."""
        return float(np.diff(self.values[: self.first_held_out]).std())

    @cached_property
    def changes(self) -> Floats:
        """Return (n - 1,): the change into each week but the first, in units of `scale`."""
        return np.diff(self.values) / self.scale

    def training(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return inputs and targets, (T, 1) each: the change into a week, and the one into the week after it.

        Nothing of the held-out part is in either.
        """
        known = self.changes[: self.first_held_out - 1, None]
        return known[:-1].tolist(), known[1:].tolist()

    def stream(self) -> list[float]:
        """Return an input for each held-out week: the change into the week before it, known when it is forecast.

        They follow the inputs of `training` without gap or overlap.
        """
        found: list[float] = self.changes[self.first_held_out - 2 : -1].tolist()
        return found

    def persistence(self) -> Floats:
        """Return (held_out,): the last value before each held-out week, the forecast to beat."""
        return self.values[self.first_held_out - 1 : -1]

    def truth(self) -> Floats:
        """Return (held_out,): what was measured."""
        return self.values[self.first_held_out :]

    def forecasts(self, outputs: list[float]) -> Floats:
        """Return (held_out,) in ppm for the network's outputs, one for each input of `stream`."""
        return self.persistence() + self.scale * np.array(outputs)


def load() -> Series:
    """Return the series as shipped; source and licence stand beside it in `mauna_loa_co2.md`."""
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
