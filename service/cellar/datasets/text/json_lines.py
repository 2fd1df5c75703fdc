"""Reads files with a JSON object in each line."""

import codecs
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any, Literal

import orjson

from cellar.datasets.faults import fault, shown
from cellar.datasets.source import MOST_COLUMNS, UNDECLARED, Chunk, check_names, rows_at_once

SAMPLE_LINES = 1000

MOST_LINE_BYTES = 1024 * 1024

CHUNK_BYTES = 16 * 1024 * 1024
"""Bytes after which a chunk ends, if its rows are long."""

AT_ONCE = 16
"""Lines that are read before their size is known."""

_TEXTS = {True: "true", False: "false"}


class JsonLines:
    """A Source of JSON objects. Columns are the members of the first SAMPLE_LINES lines; null is missing."""

    decimal: Literal[".", ","] = "."
    declared = UNDECLARED

    def __init__(self, file: IO[bytes]) -> None:
        """Read the beginning of the file. Raise DatasetInvalid."""
        self._file = file
        names: dict[str, None] = {}
        for _, document in islice(self._documents(), SAMPLE_LINES):
            names |= dict.fromkeys(document)
            if len(names) > MOST_COLUMNS:
                break
        if not names:
            raise fault("the file has no rows", remedy="send a JSON object in each line")
        self.names = tuple(names)
        check_names(self.names)
        self._known = set(names)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DatasetInvalid."""
        documents = self._documents()
        count = rows_at_once(len(self.names))
        while some := self._some(documents, count):
            rows = [row for row, _ in some]
            for row, document in some:
                if unknown := document.keys() - self._known:
                    raise fault(f"the rows before have no member {shown(min(unknown))}", row=row)
            yield Chunk(rows, [self._cells(name, some) for name in self.names])

    def _some(self, documents: Iterator[tuple[int, dict[str, Any]]], count: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the next documents, up to a number, or fewer long ones."""
        found: list[tuple[int, dict[str, Any]]] = []
        end = self._file.tell() + CHUNK_BYTES
        while len(found) < count and (more := list(islice(documents, AT_ONCE))):
            found += more
            if self._file.tell() > end:
                break
        return found

    def _cells(self, name: str, some: Sequence[tuple[int, dict[str, Any]]]) -> list[str]:
        return [_text(document.get(name), row, name) for row, document in some]

    def _documents(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the objects with the numbers of their lines."""
        self._file.seek(0)
        row = 0
        while line := self._file.readline(MOST_LINE_BYTES + 1):
            row += 1
            if row == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if len(line) > MOST_LINE_BYTES:
                raise fault(f"the line has more than {MOST_LINE_BYTES} bytes", row=row)
            if not line.strip():
                continue
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise fault(f"not JSON: {error}", row=row) from None
            if not isinstance(document, dict):
                raise fault("not a JSON object", row=row, remedy='send lines as {"time": "2024-03-01", "temp": 20.5}')
            yield row, document


def _text(value: Any, row: int, name: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return _TEXTS[value]
    if isinstance(value, int | float):
        return repr(value)
    raise fault("a list or an object is no reading", row=row, column=name)
