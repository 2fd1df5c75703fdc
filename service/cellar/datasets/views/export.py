"""Writes a table as CSV or NDJSON, block by block."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Literal

import orjson

from cellar.datasets.views.preview import Value, values_of
from cellar.memory.file_mapping import release_pages
from cellar.table import Column, Table

BLOCK_ROWS = 8192

FileFormat = Literal["csv", "ndjson"]

MEDIA_TYPES: dict[FileFormat, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}


def exported(table: Table, form: FileFormat) -> Iterator[bytes]:
    """Yield the rows in the order of series and time. Numbers have as many digits as float32 needs."""
    names = [column.name for column in table.columns]
    if form == "csv":
        yield _csv([names])
    for begin in range(0, table.rows, BLOCK_ROWS):
        here = slice(begin, min(begin + BLOCK_ROWS, table.rows))
        rows = zip(*(_values(table, column, here) for column in table.columns), strict=True)
        if form == "csv":
            yield _csv(rows)
        else:
            yield b"".join(orjson.dumps(dict(zip(names, row, strict=True))) + b"\n" for row in rows)
        for array in (table.bounds, table.times, *table.values.values()):
            release_pages(array)


def _values(table: Table, column: Column, here: slice) -> Sequence[Value]:
    if column.type != "number":
        return values_of(table, column, here)
    return [None if text == "nan" else float(text) for text in table.values[column.name][here].astype(str).tolist()]


def _csv(rows: "Iterator[tuple[Value, ...]] | list[list[str]]") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
