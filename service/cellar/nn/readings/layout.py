"""The places of columns in a row, and of what is encoded from them in the input of the readings' cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cellar.nn.readings.columns import CategoryColumn, Column, NumberColumn, SeriesColumn, TimeColumn


@dataclass(frozen=True, slots=True)
class Carried:
    """A number that is kept while its column is missing: it is encoded with a 1, and with a 0 while it is missing."""

    feature: str
    column: int
    """The number of its column."""
    fill: float
    """Its value before the first reading."""


@dataclass(frozen=True)
class Layout:
    """The columns of readings, and the order of the numbers that are encoded from a row.

    They are: carried numbers, then a presence for each of them, then plain numbers, then the scale of the series, then
    day and second of the day.
    """

    columns: tuple[Column, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The place of the first number of each column in a row."""
        found = [0]
        for column in self.columns:
            found.append(found[-1] + column.width)
        return tuple(found[:-1])

    @property
    def width(self) -> int:
        """The numbers of a row."""
        return sum(column.width for column in self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def numbers(self) -> tuple[tuple[int, NumberColumn], ...]:
        """The columns of numbers with their places among all columns."""
        return tuple((at, column) for at, column in enumerate(self.columns) if isinstance(column, NumberColumn))

    @cached_property
    def categories(self) -> tuple[tuple[int, CategoryColumn], ...]:
        """The columns of categories with their places among all columns."""
        return tuple((at, column) for at, column in enumerate(self.columns) if isinstance(column, CategoryColumn))

    @cached_property
    def time(self) -> tuple[int, TimeColumn] | None:
        """The column of times with its place, None without one."""
        return next(((at, each) for at, each in enumerate(self.columns) if isinstance(each, TimeColumn)), None)

    @cached_property
    def series(self) -> tuple[int, SeriesColumn] | None:
        """The column of ids of series with its place, None without one."""
        return next(((at, each) for at, each in enumerate(self.columns) if isinstance(each, SeriesColumn)), None)

    @cached_property
    def carried(self) -> tuple[Carried, ...]:
        """The carried numbers: columns of numbers, those that are scaled by the session last, then categories."""
        found = [self._number(at, column) for at, column in self.numbers if column.missing == "carry"]
        kept = [each for part in ("values", "causal", "scaled") for each in found if self.part(each.column) == part]
        for at, column in self.categories:
            if column.missing == "carry":
                kept += [Carried(name, at, 0.0) for name in encoded_names(column)]
        return tuple(kept)

    @cached_property
    def plain(self) -> tuple[str, ...]:
        """The names of the plain numbers: filled columns, masks, categories, then the calendar."""
        found = [column.name for _, column in self.numbers if column.missing == "mean"]
        found += [f"{column.name} is there" for _, column in self.numbers if column.mask]
        for _, category in self.categories:
            if category.missing == "zeros":
                found += encoded_names(category)
        if self.time is not None:
            found += [f"{wave} of {feature}" for feature in self.time[1].calendar for wave in ("sine", "cosine")]
        return tuple(found)

    @property
    def has_clock(self) -> bool:
        """Whether the time since the last step is needed."""
        return self.time is not None and (self.time[1].elapsed or any(column.since for _, column in self.numbers))

    @property
    def encoded_size(self) -> int:
        """The numbers that are encoded from a row."""
        return 2 * len(self.carried) + len(self.plain) + self.scale_numbers + 2 * self.has_clock

    @cached_property
    def ahead(self) -> tuple[tuple[int, int], ...]:
        """The places of numbers that are known ahead, and how many steps ahead."""
        return tuple((self.offsets[at], column.lead) for at, column in self.numbers if column.lead)

    @cached_property
    def scaled(self) -> tuple[tuple[int, NumberColumn], ...]:
        """The columns whose scale a session keeps, with their places among all columns."""
        return tuple((at, column) for at, column in self.numbers if column.session_scale)

    @property
    def scale_numbers(self) -> int:
        """The numbers that tell a session the scale of its series: for each column its shift and its scale; then
        whether an id is there, and whether it is known. They stand before day and second; none without such a series.
        """
        return 2 * len(self.scaled) + 2 if any(column.per_series for _, column in self.scaled) else 0

    def part(self, at: int) -> str:
        """Return the name of the cell that carries a column, `values` if it was scaled before."""
        column = self.columns[at]
        if not isinstance(column, NumberColumn):
            return "values"
        return "scaled" if column.session_scale else "causal" if column.scaling == "causal" else "values"

    def _number(self, at: int, column: NumberColumn) -> Carried:
        return Carried(column.name, at, 0.0 if column.fitted is None else column.fitted.fill)


def encoded_names(column: CategoryColumn) -> list[str]:
    """Return the names of the numbers that are encoded from a category."""
    if column.encoding == "ordinal":
        return [column.name]
    return [f"{column.name} = {each}" for each in column.categories or ()]


def lagged(columns: Sequence[tuple[int, NumberColumn]]) -> list[tuple[int, NumberColumn, int, bool]]:
    """Return each lag and each difference of columns: the place of the column, the column, steps, and whether it is a
    difference."""
    found = [(at, column, steps, False) for at, column in columns for steps in column.lags]
    return found + [(at, column, steps, True) for at, column in columns for steps in column.differences]
