"""The media types of files of readings, and the source that reads each."""

from dataclasses import replace
from typing import IO

from cellar.datasets.arrays.array_files import open_npy, open_npz, open_safetensors
from cellar.datasets.faults import fault
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import Source
from cellar.datasets.text.json_lines import JsonLines
from cellar.datasets.text.rows import CsvFile
from cellar.memory.temporary_files import TemporaryFiles

CSV, TSV, NDJSON = "text/csv", "text/tab-separated-values", "application/x-ndjson"
NPY, NPZ, SAFETENSORS = "application/x-npy", "application/x-npz", "application/safetensors"

TYPES = (CSV, TSV, NDJSON, NPY, NPZ, SAFETENSORS)


def open_source(file: IO[bytes], kind: str, options: ReadOptions, files: TemporaryFiles) -> Source:
    """Return the source that reads a file of a media type. Raise DatasetInvalid or InvalidInput."""
    if not file.seek(0, 2):
        raise fault("the file is empty")
    if kind == NDJSON:
        return JsonLines(file)
    if kind == NPY:
        return open_npy(file)
    if kind == NPZ:
        return open_npz(file, files)
    if kind == SAFETENSORS:
        return open_safetensors(file)
    if kind == TSV and options.delimiter is None:
        options = replace(options, delimiter="\t")
    return CsvFile(file, options)
