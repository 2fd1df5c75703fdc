"""Reads files of readings as the service does, for tests."""

from pathlib import Path
from typing import Any

from cellar.datasets.ingestion.ingest import BuiltTable, ingest
from cellar.datasets.options import ReadOptions
from cellar.datasets.storage.table_file import open_table
from cellar.datasets.text.rows import CsvFile
from cellar.memory.file_mapping import map_file
from cellar.memory.temporary_files import TemporaryFiles
from cellar.table import Table


def build(directory: Path, data: str | bytes, **options: Any) -> BuiltTable:
    """Return the table of a CSV in a temporary file of that directory."""
    files = TemporaryFiles(directory)
    asked = ReadOptions(**options)
    with files.open() as file:
        file.write(data if isinstance(data, bytes) else data.encode())
        file.flush()
        source = CsvFile(file, asked)
        return ingest(source, asked, files, decimal=source.decimal)


def read(directory: Path, data: str | bytes, **options: Any) -> Table:
    """Return the table of a CSV."""
    built = build(directory, data, **options)
    with built.file as file:
        return open_table(map_file(file.fileno(), built.size_bytes))
