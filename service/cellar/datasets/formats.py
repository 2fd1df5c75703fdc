"""The media types of files of readings, and the source that reads each."""

from dataclasses import replace
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING

from cellar.datasets.arrays.array_files import open_npy, open_npz, open_safetensors
from cellar.datasets.options import ReadOptions
from cellar.datasets.source import Source
from cellar.datasets.text.json_lines import JsonLines
from cellar.datasets.text.rows import CsvFile
from cellar.errors import UnsupportedMediaType
from cellar.memory.temporary_files import TemporaryFiles

if TYPE_CHECKING:
    from cellar.datasets.arrow.arrow_files import Form

CSV, TSV, NDJSON = "text/csv", "text/tab-separated-values", "application/x-ndjson"
NPY, NPZ, SAFETENSORS = "application/x-npy", "application/x-npz", "application/safetensors"

PARQUET = "application/vnd.apache.parquet"

FORMS: dict[str, "Form"] = {
    PARQUET: "parquet",
    "application/vnd.apache.arrow.file": "file",
    "application/vnd.apache.arrow.stream": "stream",
}
"""The types that pyarrow reads. It may crash on a file that is made to do that, so it runs in a process of its own."""

TYPES = (CSV, TSV, NDJSON, NPY, NPZ, SAFETENSORS, *FORMS)


def check_readable(kind: str) -> None:
    """Raise UnsupportedMediaType if the package that reads a media type is not installed."""
    if kind in FORMS and find_spec("pyarrow") is None:
        raise UnsupportedMediaType(
            f"files of the type {kind} are read by pyarrow, which is not installed here: pip install"
            " 'cellar-serve[parquet]'; or send the readings as CSV or NDJSON"
        )


def open_source(file: IO[bytes], kind: str, options: ReadOptions, files: TemporaryFiles) -> Source:
    """Return the source that reads a file of a media type. Raise DatasetInvalid or InvalidInput."""
    if kind in FORMS:
        from cellar.datasets.arrow.arrow_files import ArrowFile  # the extra may not be installed

        return ArrowFile(file, FORMS[kind], options)
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
