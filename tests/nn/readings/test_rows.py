"""Rows as clients send them: by name and in order, and what is refused with its place."""

import math
from typing import Any

import numpy as np
import pytest

from cellar.errors import CellarError
from cellar.nn.readings.rows import RowReader
from tests.nn.readings.tables import fitted, weather

COLUMNS: list[dict[str, Any]] = [
    {"kind": "number", "name": "temp", "log": 50.0},
    {"kind": "category", "name": "sky", "unknown": "refuse"},
    {"kind": "time", "name": "at", "zone": "Europe/Berlin"},
    {"kind": "series", "name": "station"},
]


@pytest.fixture(scope="module")
def reader() -> RowReader:
    """Return the reader of weather."""
    return RowReader(fitted(COLUMNS, weather()).layout)


def read(reader: RowReader, row: Any) -> list[float]:
    """Return the numbers of one row of one step."""
    found: list[float] = reader.read([[row]], lambda step, number: f"/{step}/{number}")[0, 0].tolist()
    return found


@pytest.mark.parametrize(
    ("row", "numbers"),
    [
        ({"temp": 1.5, "sky": "b", "at": "2026-01-01T00:00:01+00:00", "station": "south"}, [1.5, 1, 20454, 1, 1]),
        ({"at": 1767225601, "sky": None, "station": "west"}, [math.nan, math.nan, 20454, 1, -1]),
        ({"at": "2026-01-01T01:00:01"}, [math.nan, math.nan, 20454, 1, math.nan]),
        ([1.5, "b", "2026-01-01", "north"], [1.5, 1, 20453, 82800, 0]),
        ([None, 2, "2026-01-01", None], [math.nan, 2, 20453, 82800, math.nan]),
        ([None, 2, 20454, 1, None], [math.nan, 2, 20454, 1, math.nan]),
        (None, [0, 0, 0, 0, 0]),
    ],
)
def test_a_row_is_read(reader: RowReader, row: Any, numbers: list[float]) -> None:
    np.testing.assert_array_equal(read(reader, row), np.array(numbers, np.float32))


@pytest.mark.parametrize(
    ("row", "pointer", "slug", "words"),
    [
        ({"tmp": 1, "at": 0}, "/0/0/tmp", "id_unknown", "did you mean 'temp'"),
        ({"temp": "warm", "at": 0}, "/0/0/temp", "type_mismatch", "a number within the range of float32"),
        ({"temp": True, "at": 0}, "/0/0/temp", "type_mismatch", "a number"),
        ({"temp": 1e39, "at": 0}, "/0/0/temp", "type_mismatch", "range of float32"),
        ({"temp": [1], "at": 0}, "/0/0/temp", "type_mismatch", "a number"),
        ({"sky": "violet", "at": 0}, "/0/0/sky", "id_unknown", "one of a, b, c"),
        ({"temp": 1}, "/0/0/at", "type_mismatch", "ISO 8601"),
        ({"at": "noon"}, "/0/0/at", "type_mismatch", "ISO 8601"),
        ({"at": 1e18}, "/0/0/at", "type_mismatch", "1 to 9999"),
        ([1, "a", 1767225601, "x"], "/0/0/2", "type_mismatch", "day since 1970"),
        ([1, "a"], "/0/0", "shape_mismatch", "temp, sky, at, station"),
        ([1, 2, 3, 4, "a"], "/0/0", "shape_mismatch", "4 values with a text for the time, or 5 numbers"),
        ([1, 2, 3, 4, [1]], "/0/0/4", "type_mismatch", "a number or null"),
    ],
)
def test_a_value_that_is_no_reading_is_refused_with_its_place(
    reader: RowReader, row: Any, pointer: str, slug: str, words: str
) -> None:
    with pytest.raises(CellarError) as error:
        read(reader, row)
    assert (error.value.slug, getattr(error.value, "pointer", None)) == (slug, pointer)
    assert words in f"{error.value.detail} {getattr(error.value, 'expected', None)}"


@pytest.mark.parametrize(
    ("numbers", "slug", "words"),
    [
        ([math.inf, 0, 0, 0, 0], "type_mismatch", "column 'temp'"),
        ([-50, 0, 0, 0, 0], "type_mismatch", "because of its logarithm"),
        ([1, 3, 0, 0, 0], "id_unknown", "from 0 to 2 among a, b, c"),
        ([1, -1, 0, 0, 0], "id_unknown", "column 'sky'"),
        ([1, 0.5, 0, 0, 0], "id_unknown", "column 'sky'"),
        ([1, 0, math.nan, 0, 0], "type_mismatch", "column 'at'"),
        ([1, 0, 0, 86401, 0], "type_mismatch", "second of the day"),
        ([1, 0, 0, 0, 2], "id_unknown", "column 'station'"),
    ],
)
def test_numbers_that_are_no_readings_are_refused(
    reader: RowReader, numbers: list[float], slug: str, words: str
) -> None:
    rows = np.zeros((2, 2, 5), np.float32)
    rows[1, 1] = numbers
    with pytest.raises(CellarError) as error:
        reader.check(rows, None, lambda step, row, column: f"/{step}/{row}/{column[2]}")
    assert error.value.slug == slug
    assert getattr(error.value, "pointer", "").startswith("/1/1/")
    assert words in f"{error.value.detail} {getattr(error.value, 'expected', None)}"
    left_out = np.zeros((2, 2), np.bool_)
    left_out[1, 1] = True
    reader.check(rows, left_out, lambda *_: "")
