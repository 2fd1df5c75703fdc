"""Reads numbers from cells."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.datasets.faults import fault, shown
from cellar.datasets.source import Cells

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
"""Python's `float` also takes 1_000, inf and digits of other alphabets."""


class NotANumber(Exception):
    """A cell is neither a number nor missing."""

    def __init__(self, row: int, cell: str) -> None:
        super().__init__(cell)
        self.row = row
        self.cell = cell


def is_number(cell: str) -> bool:
    """Return whether a cell is a decimal number.

    >>> [is_number(cell) for cell in ("-1.5e3", "007", "1_000", "inf", "12 kg", "")]
    [True, True, False, False, False, False]
    """
    return _NUMBER(cell.strip()) is not None


def is_infinity(cell: str) -> bool:
    """Return whether a cell is an infinite number, which is refused."""
    return cell.strip().lstrip("+-").lower() in ("inf", "infinity")


class NumberReader:
    """Reads the cells of one column as float32, with NaN for those that are missing."""

    def __init__(self, name: str, missing_cells: frozenset[str], decimal: str = ".") -> None:
        self._name = name
        self._decimal = decimal
        self._missing_cells = missing_cells
        self._texts = dict.fromkeys(missing_cells, "nan")
        self._missing_numbers = [float(cell) for cell in missing_cells if is_number(cell) or is_infinity(cell)]
        self.missing = 0

    def read(self, cells: Cells, rows: Sequence[int]) -> NDArray[np.float32]:
        """Return the numbers of cells. Raise NotANumber, or DatasetInvalid for one that float32 cannot hold."""
        found = self._numbers(cells, rows)
        if isinstance(cells, np.ndarray):
            found = self._without_missing(found)
            self._check_finite(found, rows, [])
        else:
            self._check_finite(found, rows, cells)
            found = self._without_missing(found)
        with np.errstate(over="ignore"):
            narrow = found.astype(np.float32)
        if (bad := np.flatnonzero(np.isinf(narrow))).size:
            at = int(bad[0])
            raise self._too_large(rows[at], str(found[at]))
        self.missing += int(np.count_nonzero(np.isnan(narrow)))
        return narrow

    def _without_missing(self, found: NDArray[Any]) -> NDArray[Any]:
        """Return numbers with NaN for those that stand for a missing reading: -999 also means -999.0."""
        if not self._missing_numbers:
            return found
        return np.where(np.isin(found, self._missing_numbers), np.nan, found)

    def _numbers(self, cells: Cells, rows: Sequence[int]) -> NDArray[Any]:
        if isinstance(cells, np.ndarray):
            if cells.dtype.kind == "M":
                raise fault("the column has times, and is said to have numbers", row=rows[0], column=self._name)
            return cells.astype(np.float64, copy=False)
        if self._decimal == ",":
            cells = [cell.replace(",", ".") if "." not in cell else f"{cell}?" for cell in cells]
        try:
            if "_" not in "".join(cells):
                return np.fromiter(map(float, map(self._texts.get, cells, cells)), np.float64, len(cells))
        except ValueError:
            pass
        return np.fromiter((self._number(cell, row) for cell, row in zip(cells, rows, strict=True)), np.float64)

    def _number(self, cell: str, row: int) -> float:
        text = cell.strip()
        if text in self._missing_cells:
            return float("nan")
        if _NUMBER(text) is None and not is_infinity(text):
            raise NotANumber(row, cell.removesuffix("?") if self._decimal == "," else cell)
        return float(text)

    def _check_finite(self, found: NDArray[Any], rows: Sequence[int], cells: Sequence[str]) -> None:
        """Raise DatasetInvalid for an infinity, or for what Python's `float` took though it is no number."""
        odd = np.flatnonzero(~np.isfinite(found))
        for at in (odd if cells else odd[np.isinf(found[odd])][:1]).tolist():
            cell = cells[at].strip() if cells else str(found[at])
            if np.isinf(found[at]):
                raise self._too_large(rows[at], cell)
            if cell not in self._missing_cells:
                raise NotANumber(rows[at], cell)

    def _too_large(self, row: int, cell: str) -> Exception:
        return fault(
            f"{shown(cell)} is not a finite float32 number",
            row=row,
            column=self._name,
            remedy=f"correct it, or name it in `missing`: missing={cell}",
        )
