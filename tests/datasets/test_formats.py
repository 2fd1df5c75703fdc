"""Files of other formats than CSV give the same tables, and name the place of a fault."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from cellar.datasets.formats import NDJSON, NPY, NPZ, SAFETENSORS, TYPES
from cellar.datasets.options import ReadOptions
from cellar.datasets.reading import read_table
from cellar.datasets.storage.table_file import open_table
from cellar.errors import DatasetInvalid
from cellar.memory.file_mapping import map_file
from cellar.memory.temporary_files import TemporaryFiles
from cellar.table import Table

NAN = float("nan")
COLUMNS: dict[str, Any] = {
    "at": np.array([1.7e9, 1.7e9 + 60, 1.7e9 + 120]),
    "temp": np.array([20.5, NAN, -3]),
    "count": np.array([1, 2, 3], np.int64),
}


def read(directory: Path, data: bytes, kind: str, **options: Any) -> Table:
    """Return the table of a file of a media type."""
    files = TemporaryFiles(directory)
    with files.open() as file:
        file.write(data)
        file.flush()
        built = read_table(file, kind, ReadOptions(**options), files)
    with built.file as table:
        return open_table(map_file(table.fileno(), built.size_bytes))


def saved(function: Any, *arrays: Any, **named: Any) -> bytes:
    """Return the file that a function of NumPy writes."""
    file = io.BytesIO()
    function(file, *arrays, **named)
    return file.getvalue()


def structured() -> Any:
    """Return the columns as one array with fields."""
    rows = np.zeros(3, [("at", "f8"), ("temp", "f4"), ("count", "i8")])
    for name, column in COLUMNS.items():
        rows[name] = column
    return rows


LINES = "".join(
    json.dumps({name: None if x != x else x for name, x in zip(COLUMNS, row, strict=True)}) + "\n"
    for row in zip(*(column.tolist() for column in COLUMNS.values()), strict=True)
)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (NDJSON, LINES.encode()),
        (NPY, saved(np.save, structured())),
        (NPZ, saved(np.savez, **COLUMNS)),
        (NPZ, saved(np.savez_compressed, **COLUMNS)),
        (SAFETENSORS, save(COLUMNS)),
    ],
)
def test_every_format_gives_the_same_table(tmp_path: Path, kind: str, data: bytes) -> None:
    table = read(tmp_path, data, kind, time="at", targets=("temp",))
    assert table.times is not None
    np.testing.assert_array_equal(table.times, COLUMNS["at"])
    np.testing.assert_array_equal(table.values["temp"], COLUMNS["temp"].astype(np.float32))
    np.testing.assert_array_equal(table.values["count"], [1, 2, 3])
    assert table.column("temp").missing == 1


def test_times_and_texts_of_numpy(tmp_path: Path) -> None:
    at = np.array(["2024-03-01T06:00", "2024-03-01T06:10"], "M8[m]")
    data = saved(np.savez, at=at, room=np.array(["hall", "attic"]), code=np.array([b"x", b""]))
    table = read(tmp_path, data, NPZ)
    assert table.times is not None
    assert np.diff(table.times) == [600]
    assert table.column("room").categories == ("attic", "hall")
    assert table.values["code"].tolist() == [0, -1]


def test_columns_of_a_matrix_are_numbered(tmp_path: Path) -> None:
    for matrix in (np.arange(6.0).reshape(3, 2), np.asfortranarray(np.arange(6.0).reshape(3, 2))):
        table = read(tmp_path, saved(np.save, matrix), NPY)
        np.testing.assert_array_equal(table.values["column_2"], [1, 3, 5])


@pytest.mark.parametrize(
    ("kind", "data", "place"),
    [
        *((kind, b"", "the file is empty") for kind in TYPES),
        (NDJSON, b'{"a": 1}\n{"a": 1, "b": 2}\n', None),
        (NDJSON, b'{"a": 1}\n[1]\n', "row 2: not a JSON object"),
        (NDJSON, b'{"a": 1}\n{"a": \n', "row 2: not JSON"),
        (NDJSON, b'{"a": 1}\n{"a": [1]}\n', 'row 2, column "a": a list'),
        (NDJSON, b'{"a": 1}\n' * 1000 + b'{"b": 2}\n', "row 1,001: the rows before have no member 'b'"),
        (NDJSON, b'{"a": 1}\n{"a": 2}\n{"a": "x"}\n', "row 3, column \"a\": 'x' is not a number"),
        (NPY, saved(np.save, np.array([1, None], object), allow_pickle=True), "Python objects"),
        (NPY, saved(np.save, np.ones(3))[:-4], "the file ends after"),
        (NPY, saved(np.save, np.array([1, np.inf])), "row 2, column \"column_1\": 'inf'"),
        (NPY, saved(np.save, np.ones((2, 2, 2))), "[2, 2, 2]"),
        (NPY, saved(np.save, np.ones(2, complex)), "complex128"),
        (NPZ, saved(np.savez, a=np.ones(3), b=np.ones(2)), 'column "b"'),
        (NPZ, saved(np.savez_compressed, a=np.zeros(9_000_000)), "packed too densely"),
        (NPZ, b"PK\x03\x04nothing", "not an npz file"),
        (SAFETENSORS, b"\xff" * 64, "not a safetensors file"),
        (SAFETENSORS, save({"a": np.ones(2)})[:-8], "outside of the file"),
    ],
)
def test_a_fault_has_a_place(tmp_path: Path, kind: str, data: bytes, place: str | None) -> None:
    if place is None:
        assert np.isnan(read(tmp_path, data, kind).values["b"][0])
        return
    with pytest.raises(DatasetInvalid) as caught:
        read(tmp_path, data, kind)
    assert place in caught.value.detail
