"""The column of times as the network reads it: the parts of the calendar that repeat in the data, and elapsed time."""

from collections.abc import Iterator, Sequence
from typing import Literal

from cellar.errors import InvalidInput
from cellar.jobs.recipe.choices import Choice
from cellar.nn.readings.columns import TimeColumn
from cellar.nn.readings.fitting import fit
from cellar.table import Table

DAY_S = 86400.0

Part = Literal["hour", "weekday", "day_of_year"]

PERIODS: tuple[tuple[Part, float, float], ...] = (
    ("hour", DAY_S, 1 / 2),
    ("weekday", 7 * DAY_S, 1 / 7),
    ("day_of_year", 365.25 * DAY_S, 1 / 8),
)
"""Parts of the calendar with their period, seconds, and the longest interval as a share of it."""

CYCLES = 2
"""A part of the calendar is read if the training part holds as many of its periods."""


def times_of(table: Table, dataset: str, trained: Sequence[slice], longest: slice) -> TimeColumn:
    """Return the column of times, fitted to the training part. Raise InvalidInput if the dataset has none."""
    name = next((column.name for column in table.columns if column.role == "time"), None)
    if name is None or table.times is None:
        raise InvalidInput(
            f"the dataset {dataset!r} has no column of times",
            pointer="/data/times",
            expected="false, or a dataset that was added with a column of times",
            actual="true",
        )
    (fitted,) = fit([TimeColumn(name=name, elapsed=True)], table, trained)
    assert isinstance(fitted, TimeColumn)
    assert fitted.interval_s is not None
    span_s = float(table.times[longest.stop - 1] - table.times[longest.start])
    return fitted.model_copy(update={"calendar": tuple(_parts(fitted.interval_s, span_s))})


def _parts(interval_s: float, span_s: float) -> Iterator[Part]:
    for part, period_s, share in PERIODS:
        if interval_s <= share * period_s and span_s >= CYCLES * period_s:
            yield part


def choice_of(column: TimeColumn) -> Choice:
    """Return the choice of the parts of the calendar."""
    parts = ", ".join(column.calendar) or "no part of the calendar"
    why = f"The network reads the time since the last step, and {parts}: what the training part holds {CYCLES} times."
    return Choice("data.times", column.name, why)
