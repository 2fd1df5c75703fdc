"""Reads categories and series from cells: each different text has a code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.columns.numbers import is_number
from cellar.datasets.faults import fault
from cellar.datasets.source import Cells
from cellar.memory.shares import series_bytes

MOST_CATEGORIES = 10_000
"""Most different texts of a column of categories."""

MOST_CHARACTERS = 8 * 1024 * 1024
"""Most characters of the texts of all columns of categories together: each reader of the table has all of them."""

MOST_SERIES = 10_000_000

SERIES_BYTES = 256
"""Memory that a series takes while a file is read, besides the characters of its id."""

LONGEST = 256
"""Most characters of a category or of the id of a series."""


class CategorySpace:
    """The characters that further categories of a file may have."""

    def __init__(self) -> None:
        self._left = MOST_CHARACTERS

    def take(self, text: str, *, row: int, column: str) -> None:
        """Take the characters of a new category. Raise DatasetInvalid."""
        self._left -= len(text)
        if self._left < 0:
            raise fault(
                f"the different texts of all columns of categories have more than {MOST_CHARACTERS:,} characters",
                row=row,
                column=column,
                remedy=f"leave columns out (ignore={column}), or say which one names the series (series=...)",
            )


class CodeReader:
    """Reads cells of one column as int32 codes, in the order in which their texts appear; -1 if one is missing."""

    def __init__(
        self,
        name: str,
        missing_cells: frozenset[str],
        space: CategorySpace,
        *,
        is_series: bool = False,
    ) -> None:
        self._name = name
        self._space = space
        self._missing_cells = missing_cells
        self._is_series = is_series
        self._most = MOST_SERIES if is_series else MOST_CATEGORIES
        self._series_bytes = series_bytes()
        """The memory that further series may take."""
        self.codes: dict[str, int] = {}
        """The code of each text, in their order."""
        self._first_rows: list[int] = []
        self._counts = np.zeros(0, np.int64)
        self.missing = 0

    def read(self, cells: Cells, rows: Sequence[int]) -> NDArray[np.int32]:
        """Return the codes of cells. Raise DatasetInvalid."""
        texts = [_text(value) for value in cells.tolist()] if isinstance(cells, np.ndarray) else cells
        codes = self.codes
        found = list(map(codes.get, texts))
        for at in (index for index, code in enumerate(found) if code is None):
            found[at] = self._code(texts[at].strip(), rows[at])
        result = np.array(found, np.int32)
        if (missing := int(np.count_nonzero(result < 0))) or not self._is_series:
            self._count(result, missing)
        return result

    def _code(self, text: str, row: int) -> int:
        if text in self._missing_cells:
            if self._is_series:
                raise fault("the series has no name", row=row, column=self._name)
            return -1
        if "\0" in text:
            raise fault("the text has a zero byte", row=row, column=self._name, remedy="send text without it")
        if len(text) > LONGEST:
            raise fault(f"a text of {len(text)} characters; at most {LONGEST} are allowed", row=row, column=self._name)
        if (code := self.codes.get(text)) is not None:
            return code
        if len(self.codes) == self._most:
            raise fault(
                f"the column has more than {self._most:,} different texts",
                row=row,
                column=self._name,
                remedy=f"leave it out (ignore={self._name}), or say that it names the series (series={self._name})",
            )
        if self._is_series:
            self._take_series(text, row)
        else:
            self._space.take(text, row=row, column=self._name)
            self._first_rows.append(row)
        return self.codes.setdefault(text, len(self.codes))

    def _take_series(self, text: str, row: int) -> None:
        """Take the memory of a new series. Raise DatasetInvalid."""
        self._series_bytes -= SERIES_BYTES + len(text)
        if self._series_bytes < 0:
            raise fault(
                f"the ids of {len(self.codes) + 1:,} series need more than {series_bytes():,} bytes of memory, an"
                " eighth of that of the machine",
                row=row,
                column=self._name,
                remedy="divide the file by its series into several datasets, or give the service more memory",
            )

    def _count(self, result: NDArray[np.int32], missing: int) -> None:
        self.missing += missing
        counts = np.bincount(result[result >= 0], minlength=len(self.codes))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def first_text_among_numbers(self) -> tuple[int, str] | None:
        """Return row and text of the first cell that is no number, if most cells are numbers; else None."""
        texts = list(self.codes)
        numeric = np.array([is_number(text) for text in texts], bool)
        if 2 * int(self._counts[numeric].sum()) <= int(self._counts.sum()):
            return None
        row, at = min((self._first_rows[at], at) for at in np.flatnonzero(~numeric))
        return row, texts[at]

    def sorted_order(self) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the texts sorted, and for each code its place among them, with one more for -1."""
        texts = tuple(sorted(self.codes))
        places = np.full(len(texts) + 1, -1, np.int32)
        for place, text in enumerate(texts):
            places[self.codes[text]] = place
        return texts, places


def _text(value: object) -> str:
    """Return a number of a typed file as a text; those without a fraction as integers."""
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    return "" if value is None else str(value)
