"""Reads the file of a request into a table, in a process of its own if it is large."""

import gc
import json
import logging
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from cellar.datasets.faults import fault
from cellar.datasets.formats import FORMS, open_source
from cellar.datasets.ingestion.ingest import BuiltTable, ingest
from cellar.datasets.options import ReadOptions
from cellar.errors import DatasetInvalid, InternalError, InvalidInput, StoreUnavailable
from cellar.memory.temporary_files import TemporaryFiles
from cellar.process import end_with_parent, yield_to_others
from cellar.table import Column

logger = logging.getLogger(__name__)

HERE_BYTES = 2 * 1024 * 1024
"""Files up to this size are read in the process that received them, in some tenths of a second. A larger one would
delay its other requests, because Python runs one thread at a time."""

NICE = 5
"""The nice value of a process that reads a file: requests come first."""

MEMORY_BYTES = 384 * 1024 * 1024
"""Memory of a process that reads Parquet or Arrow, besides mapped files: pages of Parquet and compressed record batches
are unpacked in it. A small file may announce one of any size."""

_ERRORS = {kind.slug: kind for kind in (DatasetInvalid, InvalidInput, StoreUnavailable)}


def read_table(file: IO[bytes], kind: str, options: ReadOptions, files: TemporaryFiles) -> BuiltTable:
    """Return the table in a file of a media type. Raise DatasetInvalid, InvalidInput or StoreUnavailable."""
    size = os.fstat(file.fileno()).st_size
    if not size:
        raise fault("the file is empty")
    if size <= HERE_BYTES and kind not in FORMS:
        source = open_source(file, kind, options, files)
        return ingest(source, options, files, decimal=source.decimal)
    table = files.open()
    try:
        return _in_child(file, table, kind, options, files)
    except BaseException:
        table.close()
        raise


def _in_child(file: IO[bytes], table: IO[bytes], kind: str, options: ReadOptions, files: TemporaryFiles) -> BuiltTable:
    asked = {
        "file": file.fileno(), "table": table.fileno(), "kind": kind, "options": asdict(options),
        "directory": str(files.directory), "parent": os.getpid(),
    }  # fmt: skip
    command = [sys.executable, "-c", "from cellar.datasets.ingestion.reading import main; main()", json.dumps(asked)]
    fds = (file.fileno(), table.fileno())
    done = subprocess.run(command, pass_fds=fds, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        if kind in FORMS and done.returncode < 0:
            raise fault("the file is damaged: its reader crashed") from None
        logger.error("the process that reads a file ended with %d", done.returncode)
        raise InternalError from None
    if "slug" in found:
        raise _ERRORS[found.pop("slug")](**found)
    columns = tuple(Column(**{**each, "categories": tuple(each["categories"])}) for each in found.pop("columns"))
    return BuiltTable(file=table, columns=columns, **found)


def main() -> None:
    """Read a file in a process of its own: the command line has the request, the output is the result as JSON."""
    asked = json.loads(sys.argv[1])
    end_with_parent(asked["parent"])
    yield_to_others(NICE)
    gc.disable()  # millions of short lists would be searched again and again for cycles that there are not
    given: Any = {name: tuple(each) if isinstance(each, list) else each for name, each in asked["options"].items()}
    options = ReadOptions(**given)
    files = TemporaryFiles(Path(asked["directory"]))
    if asked["kind"] in FORMS:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    with os.fdopen(asked["file"], "rb") as file, os.fdopen(asked["table"], "r+b") as table:
        try:
            source = open_source(file, asked["kind"], options, files)
            built = ingest(source, options, files, decimal=source.decimal, file=table)
            members = {name: value for name, value in built._asdict().items() if name != "file"}
            answer = members | {"columns": [asdict(column) for column in built.columns]}
        except (DatasetInvalid, InvalidInput, StoreUnavailable) as error:
            answer = {"slug": error.slug, "detail": error.detail, **error.fields()}
        except MemoryError:
            remedy = f"write smaller pages or record batches: {MEMORY_BYTES // 2**20} MiB are too few for these"
            full = fault("not enough memory to read the file", remedy=remedy if asked["kind"] in FORMS else "")
            answer = {"slug": full.slug, "detail": full.detail}
    sys.stdout.write(json.dumps(answer))
