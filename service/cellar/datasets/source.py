"""The protocol of files of readings: names of columns, and their cells chunk by chunk."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from cellar.datasets.faults import fault, shown
from cellar.table import ColumnType

MOST_COLUMNS = 4096

LONGEST_NAME = 128

CHUNK_CELLS = 131_072
"""Cells that are read at a time. As texts they take about 8 MB."""

Cells = Sequence[str] | NDArray[Any]
"""Cells of a column: texts, or numbers of a file that has types."""


class Chunk(NamedTuple):
    """Some rows of a file."""

    rows: Sequence[int]
    """Their numbers, from 1 with the header, as a spreadsheet counts them."""
    columns: Sequence[Cells]


class DeclaredType(NamedTuple):
    """The type of a column of a file whose columns have types."""

    type: ColumnType
    is_utc: bool = False
    """Whether times are instants, whatever the zone of times without an offset is."""


UNDECLARED: Mapping[str, DeclaredType] = MappingProxyType({})
"""The types of a file of texts."""


class Source(Protocol):
    """A file of readings, which can be read several times from its beginning."""

    names: tuple[str, ...]
    declared: Mapping[str, DeclaredType]
    """The types that the file gives to columns. Those of others are found in their cells."""
    decimal: Literal[".", ","]
    """The decimal sign of texts that are numbers."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DatasetInvalid."""
        ...


def rows_at_once(columns: int) -> int:
    """Return the number of rows of a chunk."""
    return max(1, CHUNK_CELLS // max(1, columns))


def check_names(names: Sequence[str], what: str = "the file", row: int | None = None) -> None:
    """Raise DatasetInvalid for too many columns, and for names that are empty, doubled or no names."""
    if len(names) > MOST_COLUMNS:
        raise fault(f"{what} has {len(names):,} columns; at most {MOST_COLUMNS:,} are allowed", row=row)
    known = set()
    for number, name in enumerate(names, 1):
        if not name:
            remedy = "name it" if row is None else "name it, or send header=false"
            raise fault(f"{what} has no name for column {number}", row=row, remedy=remedy)
        if name in known:
            raise fault(f"{what} has the name {shown(name)} twice", row=row, remedy="give each column its own name")
        if len(name) > LONGEST_NAME or not name.isprintable():
            remedy = f"use up to {LONGEST_NAME} printable characters"
            raise fault(f"{shown(name)} cannot be a name", row=row, remedy=remedy)
        known.add(name)
