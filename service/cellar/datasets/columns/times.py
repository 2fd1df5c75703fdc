"""Reads times from cells, as seconds since the Unix epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.columns.numbers import is_number
from cellar.datasets.columns.time_fields import NO_OFFSET, NoTime, TimeFields, TimeForm, form_of, read_fields
from cellar.datasets.columns.time_zone import TimeZone
from cellar.datasets.faults import fault, shown
from cellar.datasets.options import DateOrder
from cellar.datasets.source import Cells
from cellar.errors import DatasetInvalid

EPOCH_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (np.inf, 1e9))
"""Largest numbers that are seconds, milliseconds, microseconds and nanoseconds since the epoch: up to the year 5138."""

YEARS = 1000.0, 3000.0
"""Numbers in this range are years; a fraction is that of the year."""

HOUR = 60

FIRST_S, END_S = -62_135_596_800.0, 253_402_300_800.0
"""The years 1 to 9999, in which programs can write times."""


class WrongOrder(Exception):
    """Day and month have the other order than was assumed."""

    def __init__(self, order: DateOrder) -> None:
        super().__init__(order)
        self.order: DateOrder = order


class TimeReader:
    """Reads the cells of one column as float64 seconds since the epoch, in UTC."""

    def __init__(self, name: str, missing_cells: frozenset[str], zone: str | None, order: DateOrder | None) -> None:
        self._name = name
        self._missing_cells = missing_cells
        self._zone = None if zone is None else TimeZone(zone)
        self._given = order
        self._order: DateOrder = order or "DMY"
        self._is_proven = order is not None
        self._form: TimeForm | None = None
        self._example: tuple[int, str] | None = None
        self._offsets: dict[int, int] = {}
        """The offsets that have occurred, and the first row of each."""
        self._unit: float | None = None
        """Numbers in a second, of times that are numbers; 0: they are years."""

    def read(self, cells: Cells, rows: Sequence[int]) -> NDArray[np.float64]:
        """Return the times of cells. Raise DatasetInvalid, or WrongOrder."""
        found = self._read(cells, rows)
        self._check_years(found, cells, rows)
        return found

    def _check_years(self, seconds: NDArray[Any], cells: Cells, rows: Sequence[int]) -> None:
        if seconds.size and not (seconds.min() >= FIRST_S and seconds.max() < END_S):
            at = int(np.flatnonzero(~((seconds >= FIRST_S) & (seconds < END_S)))[0])
            raise fault(f"{shown(str(cells[at]))} is not in the years 1 to 9999", row=rows[at], column=self._name)

    def _read(self, cells: Cells, rows: Sequence[int]) -> NDArray[np.float64]:
        if isinstance(cells, np.ndarray):
            if cells.dtype.kind == "M":
                return self._of_instants(cells, rows)
            return self._of_numbers(cells.astype(np.float64), rows)
        if self._form is None and self._unit is None:
            self._begin(cells[0].strip(), rows[0])
        if self._form is None:
            return self._of_numbers(self._numbers(cells, rows), rows)
        try:
            fields = read_fields(cells, self._form)
            self._example = self._example or (rows[0], cells[0])
            return self._seconds(fields, cells, rows)
        except NoTime as error:
            raise self._no_time(cells[error.index], rows[error.index]) from None

    def end(self) -> None:
        """Raise DatasetInvalid if the order of day and month could not be found in the whole file."""
        if self._form is not None and self._form.has_open_order and not self._is_proven and self._example is not None:
            row, cell = self._example
            if "." not in cell.split()[0]:
                raise fault(
                    f"{shown(cell)} may begin with the day or with the month, and so may all others",
                    row=row,
                    column=self._name,
                    remedy="say which: date_order=DMY or date_order=MDY",
                )

    def _begin(self, cell: str, row: int) -> None:
        """Find the form of the times in the first one."""
        self._form = None if is_number(cell) and len(cell) != 8 else form_of(cell)
        if self._form is None and not is_number(cell):
            raise self._no_time(cell, row)

    def _numbers(self, cells: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        for cell, row in zip(cells, rows, strict=True):
            if not is_number(cell):
                raise self._no_time(cell, row)
        return np.fromiter(map(float, cells), np.float64, len(cells))

    def _no_time(self, cell: str, row: int) -> DatasetInvalid:
        if cell.strip() in self._missing_cells:
            return fault("the row has no time", row=row, column=self._name, remedy="leave such rows out")
        if self._example is None:
            return fault(
                f"{shown(cell)} is not a time",
                row=row,
                column=self._name,
                remedy="send times as 2024-03-31 14:00, 31.03.2024 14:00 or seconds since 1970;"
                f" if the column has categories, send types={self._name}:category",
            )
        return fault(
            f"{shown(cell)} is not a time like {shown(self._example[1])} in row {self._example[0]:,}",
            row=row,
            column=self._name,
            remedy="write all times of a column in the same form;"
            f" if the column has categories, send types={self._name}:category",
        )

    def _of_instants(self, cells: NDArray[np.datetime64], rows: Sequence[int]) -> NDArray[np.float64]:
        if (bad := np.flatnonzero(np.isnat(cells))).size:
            raise fault("the row has no time", row=rows[int(bad[0])], column=self._name)
        days = cells.astype("datetime64[D]")  # microseconds of 64 bits end in the year 294,246
        self._check_years(days.astype(np.int64) * 86400.0, cells, rows)
        return self._local(cells.astype("datetime64[us]").astype(np.int64) / 1e6, rows, cells)

    def _of_numbers(self, numbers: NDArray[np.float64], rows: Sequence[int]) -> NDArray[np.float64]:
        if (bad := np.flatnonzero(~np.isfinite(numbers))).size:
            raise fault("the row has no time", row=rows[int(bad[0])], column=self._name)
        if self._unit is None:
            most = float(np.abs(numbers).max())
            is_year = YEARS[0] <= numbers.min() and most <= YEARS[1]
            self._unit = 0.0 if is_year else next(unit for limit, unit in EPOCH_UNITS if most < limit)
        if self._unit:
            return np.asarray(numbers / self._unit, np.float64)
        if (bad := np.flatnonzero((numbers < YEARS[0]) | (numbers > YEARS[1]))).size:
            at = int(bad[0])
            raise fault(f"{numbers[at]:g} is not a year", row=rows[at], column=self._name)
        whole = np.floor(numbers)
        begin, end = (_days(whole.astype(np.int64) + more, 1, 1) for more in (0, 1))
        return np.asarray((begin + (numbers - whole) * (end - begin)) * 86400.0, np.float64)

    def _seconds(self, fields: TimeFields, cells: Sequence[str], rows: Sequence[int]) -> NDArray[np.float64]:
        days_in_month, months = self._day_and_month(fields, cells, rows)
        bad = (months < 1) | (months > 12) | (days_in_month < 1) | (days_in_month > 31)
        days = _days(fields.year, np.where(bad, 1, months), np.where(bad, 1, days_in_month))
        next_month = _days(fields.year + (months == 12), np.where(bad | (months == 12), 1, months + 1), 1)
        bad |= days >= next_month
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise fault(f"there is no such day as {shown(cells[at])}", row=rows[at], column=self._name)
        local = days * 86400.0 + fields.microseconds / 1e6
        return self._to_utc(local, fields.offset, cells, rows)

    def _day_and_month(
        self, fields: TimeFields, cells: Sequence[str], rows: Sequence[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        assert self._form is not None
        if not self._form.has_open_order:
            return fields.first, fields.second
        for numbers, order in ((fields.first, "DMY"), (fields.second, "MDY")):
            if (beyond := np.flatnonzero(numbers > 12)).size:
                if order != self._order:
                    if self._is_proven:
                        at = int(beyond[0])
                        raise fault(
                            f"{shown(cells[at])} has no month, if the order is {self._order} as"
                            f" {'you say' if self._given else 'in rows before'}",
                            row=rows[at],
                            column=self._name,
                        )
                    raise WrongOrder("MDY")
                self._is_proven = True
        return (fields.first, fields.second) if self._order == "DMY" else (fields.second, fields.first)

    def _to_utc(
        self, local: NDArray[np.float64], offsets: NDArray[np.int32], cells: Sequence[str], rows: Sequence[int]
    ) -> NDArray[np.float64]:
        found, places = np.unique(offsets, return_index=True)
        for at, offset in sorted(zip(places.tolist(), found.tolist(), strict=True)):
            self._check_offset(offset, float(local[at]), cells[at], rows[at])
        if offsets[0] != NO_OFFSET:
            return local - offsets * 60.0
        return self._local(local, rows, cells)

    def _local(self, local: NDArray[np.float64], rows: Sequence[int], cells: Cells) -> NDArray[np.float64]:
        if self._zone is None:
            return local
        day = 86400.0  # more than any offset
        self._check_years(np.where(local < 0, local - day, local + day), cells, rows)
        found, skipped = self._zone.to_utc(local)
        if skipped is not None:
            raise fault(
                f"there was no such time in {self._zone.name}: the clocks were put forward",
                row=rows[skipped],
                column=self._name,
                remedy="name the zone in which the clock ran, or send times in UTC",
            )
        return found

    def _check_offset(self, offset: int, local_s: float, cell: str, row: int) -> None:
        """Raise DatasetInvalid for times of more than one zone. One hour more is daylight saving time."""
        if offset in self._offsets:
            return
        for other, first_row in self._offsets.items():
            if NO_OFFSET in (other, offset) or abs(other - offset) > HOUR or len(self._offsets) > 1:
                raise fault(
                    f"{shown(cell)} is of another time zone than the times from row {first_row:,} on",
                    row=row,
                    column=self._name,
                    remedy="send all times in one zone, or in UTC",
                )
        if offset != NO_OFFSET and self._zone is not None and not self._zone.has_offset(local_s - offset * 60, offset):
            raise fault(f"{shown(cell)} is not a time of {self._zone.name}", row=row, column=self._name)
        self._offsets[offset] = row


def _days(
    years: NDArray[np.int64], months: NDArray[np.int64] | int, days: NDArray[np.int64] | int
) -> NDArray[np.int64]:
    """Return days since the epoch."""
    first = ((years - 1970) * 12 + months - 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return first + days - 1


def looks_like_time(cells: Sequence[str]) -> bool:
    """Return whether most texts, none of which is missing, are times, and no plain numbers."""
    form = form_of(cells[0])
    if form is not None and not is_number(cells[0]):
        try:
            read_fields(cells, form)
            return True
        except NoTime:
            pass
    return 2 * sum(form_of(cell) is not None and not is_number(cell) for cell in cells) > len(cells)


TIME_NAMES = frozenset(("time", "at", "timestamp", "datetime", "date", "ts", "epoch", "unixtime", "unix_time"))
"""Names of columns of numbers that are times if all of them are seconds, or smaller units, of the years below."""

RECENT_S = 315_532_800.0, 4_102_444_800.0
"""The years 1980 to 2099."""


def are_recent(numbers: NDArray[np.float64]) -> bool:
    """Return whether numbers are seconds, milliseconds, microseconds or nanoseconds since 1970, of recent years."""
    low, high = float(numbers.min()), float(numbers.max())
    return any(RECENT_S[0] * unit <= low and high < RECENT_S[1] * unit for _, unit in EPOCH_UNITS)
