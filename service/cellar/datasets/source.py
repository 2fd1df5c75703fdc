"""The protocol of files of readings: names of columns, and their cells chunk by chunk."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

CHUNK_CELLS = 131_072
"""Cells that are read at a time. As texts they take about 8 MB."""

Cells = Sequence[str] | NDArray[Any]
"""Cells of a column: texts, or numbers of a file that has types."""


class Chunk(NamedTuple):
    """Some rows of a file."""

    rows: Sequence[int]
    """Their numbers, from 1 with the header, as a spreadsheet counts them."""
    columns: Sequence[Cells]


class Source(Protocol):
    """A file of readings, which can be read several times from its beginning."""

    names: tuple[str, ...]
    decimal: Literal[".", ","]
    """The decimal sign of texts that are numbers."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows. Raise DatasetInvalid."""
        ...


def rows_at_once(columns: int) -> int:
    """Return the number of rows of a chunk."""
    return max(1, CHUNK_CELLS // max(1, columns))
