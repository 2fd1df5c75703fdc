"""Reads files of text with separated values, chunk by chunk."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import IO, Literal

from cellar.datasets.faults import fault
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import UNDECLARED, Chunk, rows_at_once
from cellar.datasets.text.dialect import Dialect, find_dialect
from cellar.errors import InvalidInput

SAMPLE_LINES = 1000
SAMPLE_BYTES = 1024 * 1024

MOST_LINE = 2 * SAMPLE_BYTES
"""Most characters of a line; the rest of a longer one is read as another line."""

CHUNK_BYTES = 16 * 1024 * 1024
"""Bytes of the file after which a chunk ends, if its rows are long."""

AT_ONCE = 64
"""Rows that are read before their size is known."""

ENCODINGS = ("utf-8", "utf-16", "latin-1", "cp1252")
"""UTF-16 is also found by its byte order mark."""

csv.field_size_limit(SAMPLE_BYTES)


class CsvFile:
    """A Source of separated values in a file."""

    declared = UNDECLARED

    def __init__(self, file: IO[bytes], options: ReadOptions) -> None:
        """Read the beginning of the file. Raise DatasetInvalid or InvalidInput."""
        self._file = file
        self._encoding = _encoding(file, options.encoding)
        self._rows_read = 0
        file.seek(0)
        try:
            with self._text() as text:
                lines = _sample(text)
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None
        if any("\0" in line for line in lines):
            raise fault("the file contains zero bytes", remedy="send text, or the Content-Type of what it is")
        self._dialect: Dialect = find_dialect(lines, options)
        self.names = self._dialect.names
        self.decimal: Literal[".", ","] = self._dialect.decimal

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DatasetInvalid."""
        with self._text() as text:
            reader = csv.reader(_lines(text), delimiter=self._dialect.delimiter, strict=True)
            self._rows_read = 0
            try:
                if self._dialect.has_header:
                    while not next(reader):
                        self._rows_read += 1
                    self._rows_read += 1
                yield from self._chunks(reader, text)
            except csv.Error as error:
                raise fault(f"not a row of separated values ({error})", row=self._rows_read + 1) from None
            except UnicodeDecodeError as error:
                raise self._undecodable(error) from None

    def _chunks(self, reader: Iterator[list[str]], text: io.TextIOWrapper) -> Iterator[Chunk]:
        width = len(self.names)
        at_once = rows_at_once(width)
        while True:
            records: list[list[str]] = []
            first = self._rows_read + 1
            end = _read_bytes(text) + CHUNK_BYTES
            try:
                while len(records) < at_once and _read_bytes(text) < end:
                    before = len(records)
                    records.extend(islice(reader, min(AT_ONCE, at_once - before)))
                    if len(records) == before:
                        break
            finally:
                self._rows_read += len(records)
            if not records:
                return
            rows: Sequence[int] = range(first, first + len(records))
            if [] in records:
                rows = [row for row, record in zip(rows, records, strict=True) if record]
                records = [record for record in records if record]
            columns = self._columns(records, rows, width)
            if columns:
                yield Chunk(rows, columns)

    def _columns(self, records: list[list[str]], rows: Sequence[int], width: int) -> list[tuple[str, ...]]:
        """Return the columns of rows. Raise DatasetInvalid for a row of another length."""
        try:
            columns = list(zip(*records, strict=True))
        except ValueError:
            columns = []
        if records and len(columns) != width:
            row, found = next((row, len(r)) for row, r in zip(rows, records, strict=True) if len(r) != width)
            what = "the header has" if self._dialect.has_header else "the first row has"
            raise fault(
                f"the row has {found} cells, and {what} {width}",
                row=row,
                remedy="quote cells that contain the delimiter, or send the delimiter as `delimiter`",
            )
        return columns

    def _text(self) -> io.TextIOWrapper:
        duplicate = io.FileIO(self._file.fileno(), "rb", closefd=False)
        duplicate.seek(0)
        return io.TextIOWrapper(io.BufferedReader(duplicate, SAMPLE_BYTES), self._encoding, newline="")

    def _undecodable(self, error: UnicodeDecodeError) -> Exception:
        encoding = self._encoding.removesuffix("-sig")
        others = " or ".join(name for name in ENCODINGS if name != encoding)
        where = f"after row {self._rows_read:,}" if self._rows_read else "in the first rows"
        return fault(
            f"a byte {error.object[error.start]:#04x}, which is not {encoding}, occurs {where}",
            remedy=f"send the encoding: encoding={others}",
        )


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines, and what is beyond MOST_LINE as another line, which has too many or too few cells."""
    return iter(partial(text.readline, MOST_LINE), "")


def _sample(text: io.TextIOWrapper) -> list[str]:
    """Return the first lines that are not blank. Raise DatasetInvalid for one that is too long."""
    found: list[str] = []
    size = 0
    for row, line in enumerate(islice(_lines(text), SAMPLE_LINES), 1):
        if len(line) == MOST_LINE:
            raise fault(f"the line has more than {MOST_LINE:,} characters", row=row)
        size += len(line)
        if line.strip():
            found.append(line)
        if size > MOST_LINE:
            break
    return found


def _read_bytes(text: io.TextIOWrapper) -> int:
    """Return how many bytes of the file were read."""
    place: int = text.buffer.raw.tell()  # type: ignore[attr-defined]  # it is a BufferedReader
    return place


def _encoding(file: IO[bytes], given: str | None) -> str:
    """Return the encoding for a file, without its byte order mark. Raise InvalidInput."""
    file.seek(0)
    head = file.read(4)
    if given not in (None, *ENCODINGS):
        raise InvalidInput(
            f"no encoding {given!r}", pointer="/encoding", expected=f"one of {', '.join(ENCODINGS)}", actual=str(given)
        )
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if given == "utf-16":
        return "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
    return "utf-8-sig" if given in (None, "utf-8") else str(given)
