"""Files of other formats than CSV give the same tables, and name the place of a fault."""

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet
from safetensors.numpy import save

from cellar.datasets.formats import FORMS, NDJSON, NPY, NPZ, PARQUET, SAFETENSORS, TYPES, check_readable, open_source
from cellar.datasets.ingestion.ingest import ingest
from cellar.datasets.ingestion.reading import MEMORY_BYTES, read_table
from cellar.datasets.options import ReadOptions
from cellar.datasets.storage.table_file import open_table
from cellar.errors import DatasetInvalid, UnsupportedMediaType
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
    asked = ReadOptions(**options)
    with files.open() as file:
        file.write(data)
        file.flush()
        if kind in FORMS:  # one test starts the process that the service starts for these
            source = open_source(file, kind, asked, files)
            built = ingest(source, asked, files)
        else:
            built = read_table(file, kind, asked, files)
    with built.file as table:
        return open_table(map_file(table.fileno(), built.size_bytes))


def saved(function: Any, *arrays: Any, **named: Any) -> bytes:
    """Return the file that a function of NumPy writes."""
    file = io.BytesIO()
    function(file, *arrays, **named)
    return file.getvalue()


def damaged(data: bytes, at: int) -> bytes:
    """Return a file with another byte at a place."""
    found = bytearray(data)
    found[at] ^= 0xFF
    return bytes(found)


def twice(name: str) -> bytes:
    """Return an npz file that has two arrays of the same name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(2):
            archive.writestr(name, saved(np.save, np.full(3, number)))
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


ARROW = "application/vnd.apache.arrow.file"
ARROW_STREAM = "application/vnd.apache.arrow.stream"


def arrow(kind: str, columns: dict[str, Any], rows: int | None = None) -> bytes:
    """Return a file of Parquet or Arrow with these columns, in batches of `rows`."""
    table, file = pa.table(columns), pa.BufferOutputStream()
    if kind == PARQUET:
        parquet.write_table(table, file, row_group_size=rows)
    else:
        write = ipc.new_file if kind == ARROW else ipc.new_stream
        with write(file, table.schema) as writer:
            writer.write_table(table, rows)
    data: bytes = file.getvalue().to_pybytes()
    return data


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *((kind, arrow(kind, COLUMNS, 2)) for kind in (PARQUET, ARROW, ARROW_STREAM)),
        (NDJSON, LINES.encode("utf-8-sig")),
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


def shaped(shape: str) -> bytes:
    """Return an npy file of 30 numbers whose header says another shape."""
    old = b"'shape': (30,), }" + b" " * 30
    new = f"'shape': {shape}, }}".encode()
    return saved(np.save, np.ones(30)).replace(old, new.ljust(len(old)))


def test_what_stands_for_a_missing_reading_does_so_in_files_of_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, saved(np.save, np.array([-999, 1.0, np.inf])), NPY, missing=("-999", "inf"))
    np.testing.assert_array_equal(table.values["column_1"], [np.nan, 1, np.nan])


@pytest.mark.parametrize(
    ("kind", "data", "place"),
    [
        *((kind, b"", "the file is empty") for kind in TYPES if kind not in FORMS),
        (NDJSON, b'{"a": 1}\n{"a": 1, "b": 2}\n', None),
        (NDJSON, b'{"a": 1}\n[1]\n', "row 2: not a JSON object"),
        (NDJSON, b'{"a": 1}\n{"a": \n', "row 2: not JSON"),
        (NDJSON, b'{"a": 1}\n{"a": [1]}\n', 'row 2, column "a": a list'),
        (NDJSON, b'{"a": 1}\n' * 1000 + b'{"b": 2}\n', "row 1,001: the rows before have no member 'b'"),
        (NDJSON, b'{"a": 1}\n{"a": 2}\n{"a": "x"}\n', "row 3, column \"a\": 'x' is not a number"),
        (PARQUET, arrow(PARQUET, {"a": [1, 2], "parts": [[1], [2]]}), 'column "parts": values of the type list<'),
        (PARQUET, arrow(PARQUET, {"a": [1, 2], "wait": pa.array([1, 2], pa.duration("s"))}), 'column "wait": values'),
        (PARQUET, arrow(PARQUET, {"a": [1.0, np.inf]}), "row 2, column \"a\": 'inf'"),
        (PARQUET, arrow(PARQUET, COLUMNS)[:-9], "not a Parquet file, or a damaged one"),
        (ARROW, arrow(PARQUET, COLUMNS), "not an Arrow IPC file, or a damaged one"),
        (ARROW_STREAM, arrow(ARROW_STREAM, COLUMNS)[:-40], "not an Arrow IPC stream, or a damaged one"),
        (ARROW, arrow(ARROW, {"a": [1], "b": pa.array([b"\xff"])}), 'column "b": the values from row 1 on'),
        (ARROW, arrow(ARROW, {"a": [1], "": [1]}), "the file has no name for column 2"),
        (NPY, saved(np.save, np.array([1, None], object), allow_pickle=True), "Python objects"),
        (NPY, saved(np.save, np.ones(3))[:-4], "the file ends after"),
        (NPY, saved(np.save, np.array([1, np.inf])), "row 2, column \"column_1\": 'inf'"),
        (NPY, saved(np.save, np.ones((2, 2, 2))), "[2, 2, 2]"),
        (NPY, saved(np.save, np.ones(2, complex)), "complex128"),
        (NPZ, saved(np.savez, a=np.ones(3), b=np.ones(2)), 'column "b"'),
        (NPZ, saved(np.savez_compressed, a=np.zeros(9_000_000)), "packed too densely"),
        (NPZ, twice("a.npy"), "the file has the name 'a' twice"),
        (NPZ, saved(np.savez, at=np.array([2**62], "M8[s]"), x=np.ones(1)), 'row 1, column "at": \'1461385142'),
        (NDJSON, b'{"a": 1, "": 2}\n', "the file has no name for column 2"),
        (NPZ, b"PK\x03\x04nothing", "not an npz file"),
        (NPZ, damaged(saved(np.savez_compressed, a=np.arange(999.0)), 200), "not an npz file"),
        (NPY, damaged(saved(np.save, np.array(["a", "b"])), -1), 'row 2, column "column_1": the text has a character'),
        (NPY, b"\x93NUMPY\x01\x00\x00\x04" + b"(" * 1024, "not an npy file"),
        (SAFETENSORS, b"\xff" * 64, "not a safetensors file"),
        (SAFETENSORS, (9999).to_bytes(8, "little") + b"[" * 9999, "not a safetensors file"),
        (SAFETENSORS, (2).to_bytes(8, "little") + b"[]", "not a safetensors file"),
        (SAFETENSORS, save({"a": np.ones(2)})[:-8], "outside of the file"),
        (SAFETENSORS, (3).to_bytes(8, "little") + b"[1]", "its header is not an object"),
        (NPY, shaped("(-1,)"), "the shape [-1]"),
        (NPY, shaped("(True,)"), "the shape [True]"),
        (NPY, shaped(f"({2**62}, 4)"), "the file ends after"),
        (NPZ, saved(np.savez, a=np.ones(2), b=np.array([1, None], object)), 'column "b": the array has Python objects'),
    ],
)
def test_a_fault_has_a_place(tmp_path: Path, kind: str, data: bytes, place: str | None) -> None:
    if place is None:
        assert np.isnan(read(tmp_path, data, kind).values["b"][0])
        return
    with pytest.raises(DatasetInvalid) as caught:
        read(tmp_path, data, kind)
    assert place in caught.value.detail


def test_types_are_those_of_the_schema_of_parquet(tmp_path: Path) -> None:
    """Times with a zone are instants, those without one of the zone that is sent; texts are read as in a CSV."""
    hours = [1_711_846_800_000_000, 1_711_850_400_000_000, 1_711_854_000_000_000]
    large = 2**53 + 1
    data = arrow(
        PARQUET,
        {
            "at": pa.array(hours, pa.timestamp("us", "Europe/Berlin")),
            "id": pa.array([large, large - 1, large], pa.int64()),
            "code": pa.array(["7", None, "7"]).dictionary_encode(),
            "price": pa.array(["1.25", None, "-3"]).cast(pa.decimal128(9, 2)),
            "open": pa.array([True, None, False]),
            "none": pa.nulls(3),
            "half": pa.array([0.5, float("nan"), None], pa.float16()),
            "big": pa.array([2**60, None, 1], pa.int64()),
            "room": pa.array(["hall", "", "attic"], pa.large_string()),
            "nested": pa.array([[1], [2], [3]]),
        },
    )
    table = read(tmp_path, data, PARQUET, series="id", timezone="Europe/Berlin", ignore=("nested",))
    assert table.times is not None
    assert table.times.tolist() == [hours[0] / 1e6, hours[2] / 1e6, hours[1] / 1e6]
    assert list(table.series_ids) == [str(large), str(large - 1)]
    assert table.column("code").categories == ("7",)
    assert table.values["code"].tolist() == [0, 0, -1]
    np.testing.assert_array_equal(table.values["price"], [1.25, -3, NAN])
    np.testing.assert_array_equal(table.values["open"], [1, 0, NAN])
    np.testing.assert_array_equal(table.values["half"], [0.5, NAN, NAN])
    np.testing.assert_array_equal(table.values["big"], np.array([2**60, 1, NAN], np.float32))
    assert table.column("none").missing == 3
    assert table.column("room").categories == ("attic", "hall")
    local = read(
        tmp_path, arrow(ARROW, {"at": pa.array([0], pa.timestamp("s")), "x": [1]}), ARROW, timezone="Asia/Tokyo"
    )
    assert local.times is not None
    assert local.times.tolist() == [-9 * 3600]


def test_a_process_of_its_own_reads_parquet_within_a_limit_of_memory(tmp_path: Path) -> None:
    """A record batch that is unpacked to more than that is refused, and the process that serves needs no memory."""
    files = TemporaryFiles(tmp_path)
    table, unpacked = pa.table({"a": np.zeros(MEMORY_BYTES // 8)}), pa.BufferOutputStream()
    with ipc.new_file(unpacked, table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    for kind, data in ((PARQUET, arrow(PARQUET, COLUMNS)), (ARROW, unpacked.getvalue().to_pybytes()), (PARQUET, b"")):
        with files.open() as file:
            file.write(data)
            file.flush()
            if kind == PARQUET and data:
                with read_table(file, kind, ReadOptions(), files).file as built:
                    assert built.seek(0, 2) > 100
                continue
            with pytest.raises(DatasetInvalid, match="empty" if not data else "smaller pages or record batches"):
                read_table(file, kind, ReadOptions(), files)


def test_parquet_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.datasets.formats.find_spec", lambda _: None)
    with pytest.raises(UnsupportedMediaType, match=r"pip install 'cellar-serve\[parquet\]'"):
        check_readable(PARQUET)
    check_readable(NDJSON)
