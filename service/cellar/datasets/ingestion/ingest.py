"""Reads a file of readings into a table: types, roles, the order of rows, and what is known of each column."""

from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.columns.categories import CategorySpace, CodeReader
from cellar.datasets.columns.numbers import NotANumber, NumberReader, is_number
from cellar.datasets.columns.times import TimeReader, WrongOrder
from cellar.datasets.faults import fault, shown
from cellar.datasets.ingestion.plan import PlannedColumn, find_types, plan_columns
from cellar.datasets.ingestion.time_facts import TimeFacts
from cellar.datasets.options import DateOrder, ReadOptions
from cellar.datasets.source import Chunk, Source
from cellar.datasets.storage.ordered_columns import OrderedColumns
from cellar.datasets.storage.raw_columns import RawColumns
from cellar.datasets.storage.table_file import Tensor, series_tensors, write_table
from cellar.memory.temporary_files import TemporaryFiles
from cellar.table import Column, ColumnType

Reader = NumberReader | CodeReader | TimeReader

_TYPES: dict[type, type[np.generic]] = {NumberReader: np.float32, CodeReader: np.int32, TimeReader: np.float64}


class BuiltTable(NamedTuple):
    """A table in a temporary file."""

    file: IO[bytes]
    digest: str
    size_bytes: int
    columns: tuple[Column, ...]
    rows: int
    series: int
    first_s: float | None
    last_s: float | None
    interval_s: float | None


class _OtherType(Exception):
    """A column has another type than its first rows."""


def ingest(
    source: Source,
    options: ReadOptions,
    files: TemporaryFiles,
    *,
    decimal: str = ".",
    file: IO[bytes] | None = None,
) -> BuiltTable:
    """Return the table of a source, in `file` or a new one. Raise DatasetInvalid, InvalidInput or StoreUnavailable.

    Types are those that fit the first rows; a row that they do not fit begins another pass with the type that fits
    the whole column.
    """
    planned = plan_columns(source.names, options)
    types: dict[str, ColumnType] = {name: each.type for name, each in source.declared.items()}
    orders: dict[str, DateOrder] = {}
    while True:
        ingestion = _Ingestion(source, options, files, decimal, orders, file)
        try:
            return ingestion.run(planned, types)
        except NotANumber as error:
            column = ingestion.column
            if options.types.get(column.name) == "number" or _is_mostly_numbers(source, column, options, decimal):
                raise _not_a_number(error, column, options) from None
            types[column.name] = "category"
        except WrongOrder as error:
            orders[ingestion.column.name] = error.order


def _is_mostly_numbers(source: Source, column: PlannedColumn, options: ReadOptions, decimal: str) -> bool:
    """Return whether most cells of a column are numbers, in the whole file."""
    numbers = others = 0
    for chunk in source.chunks():
        for cell in chunk.columns[column.place]:
            text = str(cell).strip()
            if text not in options.missing_cells:
                is_one = is_number(text.replace(",", ".") if decimal == "," else text)
                numbers, others = numbers + is_one, others + (not is_one)
    return numbers > others


def _not_a_number(error: NotANumber, column: PlannedColumn, options: ReadOptions) -> Exception:
    remedy = f"correct it; if it stands for a missing reading, send missing={error.cell.strip()}"
    if options.types.get(column.name) != "number":
        remedy += f"; if the column has categories, send types={column.name}:category"
    return fault(f"{shown(error.cell)} is not a number", row=error.row, column=column.name, remedy=remedy)


class _Ingestion:
    """One pass over a file."""

    def __init__(
        self,
        source: Source,
        options: ReadOptions,
        files: TemporaryFiles,
        decimal: str,
        orders: dict[str, DateOrder],
        file: IO[bytes] | None,
    ) -> None:
        self._source = source
        self._options = options
        self._files = files
        self._decimal = decimal
        self._orders = orders
        self._file = file
        self._space = CategorySpace()
        self.column: PlannedColumn
        """The column that is read now."""

    def run(self, planned: list[PlannedColumn], types: dict[str, ColumnType]) -> BuiltTable:
        """Read the file. Raise NotANumber, WrongOrder, or as `ingest`."""
        chunks = self._source.chunks()
        first = next(chunks, None)
        if first is None:
            raise fault("the file has no rows below its header", remedy="send at least one row")
        columns = find_types(planned, first, self._options, self._decimal, types)
        readers = [self._reader(column) for column in columns]
        with RawColumns(self._files, [_TYPES[type(reader)] for reader in readers]) as raw:
            in_order = _InOrder(*_keys(columns))
            for chunk in _after(first, chunks):
                arrays = [self._read(*pair, chunk) for pair in zip(columns, readers, strict=True)]
                in_order.add(arrays)
                raw.append(arrays, chunk.rows)
            self._check_ends(columns, readers)
            ordered = OrderedColumns(raw, self._files.allocate)
            if not in_order.is_sorted:
                ordered.sort(*_keys(columns), self._options.duplicates)
            return self._write(columns, readers, ordered)

    def _reader(self, column: PlannedColumn) -> Reader:
        missing = self._options.missing_cells
        if column.role == "series":
            return CodeReader(column.name, missing, self._space, is_series=True)
        if column.type == "time":
            order = self._options.date_order or self._orders.get(column.name)
            declared = self._source.declared.get(column.name)
            zone = None if declared is not None and declared.is_utc else self._options.timezone
            return TimeReader(column.name, missing, zone, order)
        if column.type == "category":
            return CodeReader(column.name, missing, self._space)
        return NumberReader(column.name, missing, self._decimal)

    def _read(self, column: PlannedColumn, reader: Reader, chunk: Chunk) -> NDArray[Any]:
        self.column = column
        return reader.read(chunk.columns[column.place], chunk.rows)

    def _check_ends(self, columns: list[PlannedColumn], readers: list[Reader]) -> None:
        """Raise DatasetInvalid for what only the whole file shows."""
        for column, reader in zip(columns, readers, strict=True):
            if isinstance(reader, TimeReader):
                reader.end()
            is_open = isinstance(reader, CodeReader) and column.role != "series"
            if is_open and column.name not in self._options.types and column.name not in self._source.declared:
                assert isinstance(reader, CodeReader)
                if (found := reader.first_text_among_numbers()) is not None:
                    raise _not_a_number(NotANumber(*found), column, self._options)

    def _write(self, columns: list[PlannedColumn], readers: list[Reader], ordered: OrderedColumns) -> BuiltTable:
        series, times = _keys(columns)
        ids: list[str] = [""]
        if series is not None:
            reader = readers[series]
            assert isinstance(reader, CodeReader)
            ids = list(reader.codes)
        bounds = _bounds(ordered, series, len(ids))
        tensors = [Tensor("bounds", np.int64, len(bounds), [bounds])]
        facts = TimeFacts(bounds)
        if times is not None:
            tensors.append(Tensor("times", np.float64, ordered.rows, facts.of(ordered.column(times))))
        at, texts = series_tensors(ids)
        tensors.append(at)
        made = []
        for number, (column, reader) in enumerate(zip(columns, readers, strict=True)):
            parts = ordered.column(number)
            categories: tuple[str, ...] = ()
            if isinstance(reader, CodeReader) and number != series:
                categories, places = reader.sorted_order()
                parts = _replaced(parts, places)
            if column.role == "static":
                parts = _constant(parts, bounds, column.name, ordered)
            if number not in (series, times):
                tensors.append(Tensor(f"values.{number}", _TYPES[type(reader)], ordered.rows, parts))
            kind: ColumnType = "category" if number == series else column.type or "number"
            missing = 0 if isinstance(reader, TimeReader) else reader.missing
            made.append(Column(column.name, kind, column.role, categories, missing))
        file = self._files.open() if self._file is None else self._file
        try:
            digest, size = write_table(file, made, [*tensors, texts])
        except BaseException:
            file.close()
            raise
        interval_s = facts.interval_s()
        return BuiltTable(
            file, digest, size, tuple(made), ordered.rows, len(ids), facts.first_s, facts.last_s, interval_s
        )


class _InOrder:
    """Finds out whether rows are sorted by series and time, each time once."""

    def __init__(self, series: int | None, times: int | None) -> None:
        self._series = series
        self._times = times
        self._last: tuple[Any, Any] | None = None
        self.is_sorted = True

    def add(self, arrays: list[NDArray[Any]]) -> None:
        """Compare further rows with those before."""
        if not self.is_sorted or (self._series is None and self._times is None):
            return
        count = len(arrays[0])
        codes = np.zeros(count, np.int32) if self._series is None else arrays[self._series]
        times = np.arange(count, dtype=np.float64) if self._times is None else arrays[self._times]
        if self._last is not None:
            codes, times = np.insert(codes, 0, self._last[0]), np.insert(times, 0, self._last[1])
        same = codes[1:] == codes[:-1]
        self.is_sorted = bool(((codes[1:] > codes[:-1]) | (same & (times[1:] > times[:-1]))).all())
        self._last = codes[-1], -np.inf if self._times is None else times[-1]


def _keys(columns: list[PlannedColumn]) -> tuple[int | None, int | None]:
    """Return the places of the columns of series and time."""
    roles = [column.role for column in columns]
    return (roles.index("series") if "series" in roles else None), (roles.index("time") if "time" in roles else None)


def _after(first: Chunk, others: Iterator[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from others


def _bounds(ordered: OrderedColumns, series: int | None, count: int) -> NDArray[np.int64]:
    bounds = np.zeros(count + 1, np.int64)
    if series is None:
        bounds[1] = ordered.rows
        return bounds
    for part in ordered.column(series):
        low = int(part.min())
        counts = np.bincount(part - low)
        bounds[1 + low : 1 + low + len(counts)] += counts
    return np.cumsum(bounds)


def _constant(
    parts: Iterator[NDArray[Any]], bounds: NDArray[np.int64], name: str, ordered: OrderedColumns
) -> Iterator[NDArray[Any]]:
    """Yield the parts of a column. Raise DatasetInvalid for a value that is not the one before it in its series."""
    begin, last = 0, (np.empty(0, np.int64), np.empty(0))
    for part in parts:
        places = np.flatnonzero(part >= 0 if part.dtype.kind == "i" else ~np.isnan(part))
        values, places = np.append(last[1], part[places]), np.append(last[0], begin + places)
        series = np.searchsorted(bounds, places, side="right")
        if (bad := np.flatnonzero((values[1:] != values[:-1]) & (series[1:] == series[:-1]))).size:
            raise fault(
                "the value differs from the one before it in the same series, and the column is said to be static",
                row=ordered.row_number(int(places[bad[0] + 1])),
                column=name,
                remedy=f"send inputs={name}, or future={name} if its values are known in advance",
            )
        begin, last = begin + len(part), (places[-1:], values[-1:])
        yield part


def _replaced(parts: Iterator[NDArray[Any]], places: NDArray[np.int32]) -> Iterator[NDArray[Any]]:
    """Yield codes replaced by the places of their texts; -1 stays, because the last place is -1."""
    for part in parts:
        yield places[part]
