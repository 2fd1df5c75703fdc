"""Opens Parquet files, and files and streams of Arrow, and reads them by record batches in bounded memory.

The file is mapped. A Parquet file is read page by page of each column; a record batch of Arrow is a view of the mapping
unless it is compressed. What the process needs beyond that is limited by RLIMIT_DATA
(`cellar.datasets.ingestion.reading`).
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet

from cellar.datasets.arrow.arrow_types import ArrowType, arrow_type
from cellar.datasets.faults import fault
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import Cells, Chunk, DeclaredType, check_names, rows_at_once
from cellar.memory.file_mapping import FileMapping, release_pages

Form = Literal["parquet", "file", "stream"]

BUFFER_BYTES = 256 * 1024
"""Bytes of a column of Parquet that are read at a time, so that a row group of any size needs no memory."""


class ArrowFile:
    """A Source of record batches. Rows count from 1."""

    decimal: Literal[".", ","] = "."

    def __init__(self, file: IO[bytes], form: Form, options: ReadOptions) -> None:
        """Read the schema. Raise DatasetInvalid."""
        pa.set_memory_pool(pa.system_memory_pool())  # it gives memory back
        self._form = form
        self._data = np.frombuffer(FileMapping(file.fileno(), 0, prot=mmap.PROT_READ), np.uint8)
        with _errors(form):
            schema = self._schema()
        self.names: tuple[str, ...] = tuple(schema.names)
        check_names(self.names)
        self._kept = [place for place, name in enumerate(self.names) if name not in options.ignore]
        self._columns = {place: arrow_type(self.names[place], schema.types[place]) for place in self._kept}
        named = {self.names[place]: column.declared for place, column in self._columns.items()}
        self.declared: Mapping[str, DeclaredType] = {name: each for name, each in named.items() if each is not None}

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DatasetInvalid."""
        row = 1
        count = rows_at_once(len(self._kept))
        batches = self._batches(count)
        while (batch := self._next(batches)) is not None:
            for begin in range(0, batch.num_rows, count):
                part = batch.slice(begin, count)
                yield Chunk(range(row, row + part.num_rows), self._cells(part, row))
                row += part.num_rows
                release_pages(self._data)

    def _cells(self, part: pa.RecordBatch, row: int) -> Sequence[Cells]:
        cells: list[Cells] = [()] * len(self.names)
        for place, array in zip(self._kept, part.columns, strict=True):
            column: ArrowType = self._columns[place]
            try:
                array.validate(full=True)
                cells[place] = column.cells(array)
            except pa.ArrowInvalid as error:
                raise fault(
                    f"the values from row {row:,} on cannot be read ({_shown(error)})", column=self.names[place]
                ) from None
        return cells

    def _next(self, batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
        with _errors(self._form):
            return next(batches, None)

    def _buffer(self) -> pa.Buffer:
        return pa.py_buffer(self._data)

    def _schema(self) -> pa.Schema:
        if self._form == "parquet":
            return parquet.ParquetFile(pa.BufferReader(self._buffer())).schema_arrow
        opened = ipc.open_file if self._form == "file" else ipc.open_stream
        return opened(self._buffer()).schema

    def _batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield record batches with the columns that are kept."""
        if self._form == "parquet":
            source = pa.BufferReader(self._buffer())
            opened = parquet.ParquetFile(source, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
            columns = [self.names[place] for place in self._kept]
            for batch in opened.iter_batches(rows, columns=columns, use_threads=False):
                yield batch.select(columns)
            return
        if self._form == "stream":
            for batch in ipc.open_stream(self._buffer()):
                yield batch.select(self._kept)
            return
        file = ipc.open_file(self._buffer())  # with `included_fields` it would copy them
        for number in range(file.num_record_batches):
            yield file.get_batch(number).select(self._kept)


@contextmanager
def _errors(form: Form) -> Iterator[None]:
    """Turn errors of pyarrow into DatasetInvalid, besides those of memory."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        name = "a Parquet file" if form == "parquet" else f"an Arrow IPC {form}"
        raise fault(f"not {name}, or a damaged one ({_shown(error)})") from None


def _shown(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
