"""Requests for datasets, and answers about them."""

import csv
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator

from cellar.api.schemas.names import PREFIX_SCHEMA, REF_PATTERN, Answer, ModelName, NamePrefix, time_of
from cellar.datasets.options import DateOrder, Duplicates, ReadOptions
from cellar.datasets.views.chart import Chart
from cellar.datasets.views.statistics import ColumnStatistics
from cellar.nn.spec.base import Frozen
from cellar.ports.catalogue.datasets import MOST_SHOWN, Column, StoredDataset
from cellar.table import ColumnType, Role

_LIST = "separated by commas; a name with a comma stands in quotation marks"


class DatasetQuery(Frozen):
    """The options of a file of readings, in the query of the request that brings it."""

    name: ModelName = Field(description="Name of the new dataset.")
    time: str | None = Field(
        None, max_length=128, description="The column with times. Default: the only column that has times."
    )
    series: str | None = Field(
        None, max_length=128, description="The column that names the series of each row, such as a station or a device."
    )
    targets: str | None = Field(None, max_length=65_536, description=f"Columns to be predicted, {_LIST}.")
    inputs: str | None = Field(None, max_length=65_536, description=f"Columns to predict from, {_LIST}.")
    static: str | None = Field(
        None, max_length=65_536, description=f"Columns that are constant within a series, {_LIST}."
    )
    future: str | None = Field(
        None, max_length=65_536, description=f"Columns that are known in advance, such as holidays, {_LIST}."
    )
    ignore: str | None = Field(None, max_length=65_536, description=f"Columns that are not kept, {_LIST}.")
    types: str | None = Field(
        None,
        max_length=65_536,
        description="Types of columns, `code:category,temp:number`: number, category or time. Default: found in the"
        " whole column.",
        examples=["code:category"],
    )
    missing: str | None = Field(
        None,
        max_length=1024,
        description="Further texts that stand for a missing reading, separated by commas, besides empty cells, NA,"
        " N/A, NaN, null, None, - and ?.",
        examples=["-999"],
    )
    timezone: str | None = Field(
        None,
        max_length=64,
        description="Time zone of times without an offset, a name of the IANA database. Default: UTC.",
        examples=["Europe/Berlin"],
    )
    date_order: DateOrder | None = Field(
        None, description="Order of day, month and year in dates as 3/4/2024. Default: found in the whole column."
    )
    duplicates: Duplicates = Field(
        "error",
        description="Which of several rows of a series with the same time is kept: the first, the last, or the mean"
        " of each number and the last of each category; error: they are refused.",
    )
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="The character between two cells. Default: found in the file."
    )
    decimal: Literal[".", ","] | None = Field(None, description="The decimal sign. Default: found in the file.")
    header: bool | None = Field(
        None, description="Whether the first row has the names of columns. Default: found in the file."
    )
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252"] | None = Field(
        None, description="Encoding of the text. Default: that of its byte order mark, else utf-8."
    )

    @field_validator("targets", "inputs", "static", "future", "ignore", "missing")
    @classmethod
    def _is_list(cls, text: str | None) -> str | None:
        _listed(text)
        return text

    @field_validator("types")
    @classmethod
    def _has_types(cls, text: str | None) -> str | None:
        _types(text)
        return text

    @field_validator("delimiter")
    @classmethod
    def _can_delimit(cls, text: str | None) -> str | None:
        if text is not None and (text in "\r\n\"'.-+0" or text.isalnum() or not text.isascii()):
            raise ValueError("expected an ASCII character besides letters, digits, quotation marks and . + -")
        return text

    def options(self) -> ReadOptions:
        """Return the options for the reader of files."""
        return ReadOptions(
            time=self.time,
            series=self.series,
            targets=_listed(self.targets),
            inputs=_listed(self.inputs),
            static=_listed(self.static),
            future=_listed(self.future),
            ignore=_listed(self.ignore),
            types=_types(self.types),
            missing=_listed(self.missing),
            timezone=self.timezone,
            date_order=self.date_order,
            duplicates=self.duplicates,
            delimiter=self.delimiter,
            decimal=self.decimal,
            header=self.header,
            encoding=self.encoding,
        )


class ChosenSessions(Frozen):
    """The sessions whose logged steps become a dataset."""

    prefix: NamePrefix = Field(
        "", json_schema_extra=PREFIX_SCHEMA, description="The beginning of their names. Default: all."
    )
    model: str | None = Field(
        None,
        pattern=REF_PATTERN,
        description="Only sessions of this model, of this version (`name@3`), or that follow this alias (`name@live`).",
    )


class SessionsDatasetRequest(Frozen):
    """A dataset of the steps that sessions have logged: a series for each row of each session."""

    dataset: ModelName = Field(description="Name of the new dataset.")
    sessions: ChosenSessions = Field(description="The sessions. Those without a log are left out.")
    targets: list[Annotated[str, Field(min_length=1, max_length=128)]] | None = Field(
        None, max_length=4096, description="Columns to be predicted. Default: the targets of the model's readings."
    )
    duplicates: Duplicates = Field(
        "last",
        description="Which of several steps of a session with the same time is kept: the first, the last, or the mean;"
        " error: they are refused. After a rewind the last is the one that counts.",
    )


def _listed(text: str | None) -> tuple[str, ...]:
    """Return the items of a list. Raise ValueError."""
    if text is None:
        return ()
    try:
        rows = list(csv.reader([text], strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"expected names {_LIST} ({error})") from None
    return tuple(item.strip() for row in rows for item in row if item.strip())


def _types(text: str | None) -> dict[str, ColumnType]:
    """Return types by name. Raise ValueError."""
    known: dict[str, ColumnType] = {"number": "number", "category": "category", "time": "time"}
    found = {}
    for item in _listed(text):
        name, _, kind = item.rpartition(":")
        if not name or kind not in known:
            raise ValueError(f"expected name:type with a type of number, category or time, got {item[:60]!r}")
        found[name] = known[kind]
    return found


class ColumnAnswer(Answer):
    """A column of a dataset."""

    name: str
    type: ColumnType
    role: Role | None = Field(description="null: no request has named it.")
    missing: int = Field(description="Rows without a value.")
    categories_total: int = Field(description="Number of different texts of a category.")
    categories: list[str] = Field(description=f"The first {MOST_SHOWN} of them, sorted.")

    @classmethod
    def of(cls, column: Column, categories_total: int) -> Self:
        """Return the answer for a column, which may not have all of its categories."""
        return cls.read(column, categories_total=categories_total, categories=list(column.categories[:MOST_SHOWN]))


class DatasetLine(Answer):
    """A dataset in a list."""

    dataset: str = Field(description="Its name.")
    digest: str = Field(description="SHA-256 of columns and values: the same readings have the same.")
    source: str = Field(description="The media type that it was read from, or `sessions`.")
    created: datetime
    rows: int
    series: int = Field(description="Number of series; 1 if no column names them.")
    column_count: int
    missing: int = Field(description="Missing values of all columns together.")
    size_bytes: int = Field(description="Bytes of the stored table.")
    first: datetime | None = Field(description="The earliest time; null without a column of times.")
    last: datetime | None = Field(description="The latest time.")
    interval_s: float | None = Field(description="Median time between two rows of a series, seconds.")

    @classmethod
    def of(cls, stored: StoredDataset) -> Self:
        """Return the answer for a dataset."""
        return cls(**_members(stored))


class DatasetAnswer(DatasetLine):
    """A dataset with its columns."""

    columns: list[ColumnAnswer]

    @classmethod
    def of(cls, stored: StoredDataset) -> Self:
        """Return the answer for a dataset."""
        totals = stored.categories_total or [len(column.categories) for column in stored.columns]
        columns = [ColumnAnswer.of(*each) for each in zip(stored.columns, totals, strict=True)]
        return cls(**_members(stored), columns=columns)


def _members(stored: StoredDataset) -> dict[str, object]:
    same = ("dataset", "digest", "source", "rows", "series", "size_bytes", "interval_s")
    times = {"created": stored.created_s, "first": stored.first_s, "last": stored.last_s}
    counts = {"column_count": len(stored.columns), "missing": sum(column.missing for column in stored.columns)}
    found = {name: None if seconds is None else time_of(seconds) for name, seconds in times.items()}
    return {name: getattr(stored, name) for name in same} | counts | found


class DatasetsAnswer(Answer):
    """A page of datasets by name."""

    datasets: list[DatasetLine]
    cursor: str = Field(description="Continues the list; empty on the last page.")

    @classmethod
    def page(cls, stored: Iterable[StoredDataset], cursor: str) -> Self:
        """Return the answer for a page."""
        return cls(datasets=[DatasetLine.of(each) for each in stored], cursor=cursor)


class RowsAnswer(Answer):
    """Rows of a dataset, in the order of series and time."""

    columns: list[str]
    rows: list[list[float | str | None]] = Field(
        description="The values of each row in the order of `columns`; null is missing. Times are in UTC."
    )
    cursor: str = Field(description="Continues the list; empty on the last page.")


class StatisticsLine(Answer):
    """Statistics of a column. Members that its type does not have are null."""

    name: str
    type: ColumnType
    count: int = Field(description="Rows with a value.")
    missing: int
    min: float | datetime | None = Field(description="Of a column of times, the earliest.")
    max: float | datetime | None
    mean: float | None
    deviation: float | None = Field(description="Standard deviation.")
    quantiles: dict[str, float] | None = Field(
        description="By share: the smallest value that is not below that share of the values."
    )
    categories: dict[str, int] | None = Field(
        description=f"Rows of each of the {MOST_SHOWN} most frequent categories; of the column that names series, of"
        " the longest series."
    )

    @classmethod
    def of(cls, found: ColumnStatistics) -> Self:
        """Return the answer for the statistics of a column."""
        low: float | datetime | None = found.min
        high: float | datetime | None = found.max
        if found.column.type == "time" and found.min is not None and found.max is not None:
            low, high = time_of(found.min), time_of(found.max)
        shares = None if found.quantiles is None else {f"{share:g}": value for share, value in found.quantiles.items()}
        names = {"name": found.column.name, "type": found.column.type, "min": low, "max": high, "quantiles": shares}
        return cls.read(found, **names)


class StatisticsAnswer(Answer):
    """Statistics of all columns of a dataset."""

    dataset: str
    rows: int
    columns: list[StatisticsLine]


class ChartAnswer(Answer):
    """Points of one column of one series, so chosen that a plot of them looks like one of all."""

    column: str
    series: str = Field(description="The id of the series; empty if no column names series.")
    total: int = Field(description="Rows of the series.")
    rows: list[int] = Field(description="The rows of the points in the series, from 0.")
    times: list[float] | None = Field(description="Their times, seconds since 1970 in UTC; null without times.")
    values: list[float | None] = Field(description="Numbers, or places of categories in their list; null is missing.")

    @classmethod
    def of(cls, column: str, series: str, found: Chart) -> Self:
        """Return the answer for points."""
        values = [None if value != value else value for value in found.values.tolist()]
        times = None if found.times is None else found.times.tolist()
        return cls(
            column=column, series=series, total=found.total, rows=found.rows.tolist(), times=times, values=values
        )
