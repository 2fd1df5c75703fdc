"""The media types of files of readings, and the source that reads each."""

from dataclasses import replace
from typing import IO

from cellar.datasets.options import ReadOptions
from cellar.datasets.source import Source
from cellar.datasets.text.rows import CsvFile

CSV, TSV = "text/csv", "text/tab-separated-values"

TYPES = (CSV, TSV)


def open_source(file: IO[bytes], kind: str, options: ReadOptions) -> Source:
    """Return the source that reads a file of a media type. Raise DatasetInvalid or InvalidInput."""
    if kind == TSV and options.delimiter is None:
        options = replace(options, delimiter="\t")
    return CsvFile(file, options)
