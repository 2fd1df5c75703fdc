"""Cell text that must be refused, and where the refusal points."""

import pytest

from cellar.engine import build_cell
from cellar.errors import CellError

SIZES = {"in": 3, "hidden": 5}


def refused(text: str, kind: type[CellError], sizes: dict[str, int] | None = None) -> CellError:
    """Return the error that a cell's text raises, which must be of exactly this kind."""
    with pytest.raises(CellError) as caught:
        build_cell(text, sizes or SIZES)
    assert type(caught.value) is kind, caught.value.detail
    return caught.value


def points_at(error: CellError, text: str, mark: str) -> None:
    """Assert that an error points at the mark: `^` in a line of its own below the line that it points into."""
    lines = mark.split("\n")
    assert error.excerpt == mark
    assert error.column == lines[1].index("^") + 1
    assert text.split("\n")[error.line - 1].rstrip("\r") == lines[0]
