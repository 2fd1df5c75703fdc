"""Files of readings become tables, or errors that name row and column."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar.datasets.columns import categories
from cellar.datasets.formats import CSV, NDJSON, open_source
from cellar.datasets.options import ReadOptions
from cellar.datasets.storage import ordered_columns, row_order
from cellar.datasets.text import json_lines, rows
from cellar.datasets.views.preview import place_of
from cellar.errors import DatasetInvalid, InvalidInput
from cellar.memory.temporary_files import TemporaryFiles
from tests.datasets.files import build, read

NAN = float("nan")
DAY = 86400.0
JANUARY = datetime(2024, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("temp\n1\nNA\n?\n\"\"\n 2 \n", {}, [1, NAN, NAN, NAN, 2]),
        ("temp;other\n1,5;a\n-2,25e1;b\n", {}, [1.5, -22.5]),
        ("temp\tother\n1\tx\n2\ty\n", {}, [1, 2]),
        ("\ufefftemp,other\r\n1,\"a, \"\"b\"\"\"\r\n\r\n2,\"two\nlines\"\r\n", {}, [1, 2]),
        ("temp,x\n-999,1\n3,1\n-999.0,1\n", {"missing": ("-999",)}, [NAN, 3, NAN]),
        ("temp,x\n1,é\n2,b\n".encode("utf-16"), {}, [1, 2]),
        ("temp,x\n1,é\n2,b\n".encode("latin-1"), {"encoding": "latin-1"}, [1, 2]),
        ("temp,x\n1,é\n2,b\n".encode("utf-16-le"), {"encoding": "utf-16"}, [1, 2]),
        ("temp,x\n1,é\n2,b\n".encode("utf-16-be"), {"encoding": "utf-16"}, [1, 2]),
        ("temp,x\n-nan,1\n<NA>,1\n2,1\n", {}, [NAN, NAN, 2]),
        ("temp,\"note, &amp;\"\n1,2\n2,3\n", {}, [1, 2]),
        ("temp|date\n1|2024-01-02\n2|2024-01-01\n", {}, [2, 1]),
    ],
)  # fmt: skip
def test_numbers_of_any_dialect(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], expected: list[float]
) -> None:
    table = read(tmp_path, text, **options)
    np.testing.assert_array_equal(table.values["temp"], np.array(expected, np.float32))
    assert table.column("temp").missing == int(np.isnan(expected).sum())


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        (["2024-01-01", "2024-01-02"], {}, [0, DAY]),
        (["2024-01-01T00", "2024-01-01T01"], {}, [0, 3600]),
        (["1704067200", "1704067260"], {}, [0, 60]),
        (["1704067200000", "1704067200250"], {}, [0, 0.25]),
        (["2023-12-31T23:59:60Z", "2024-01-01T00:00:01Z"], {}, [0, 1]),
        (["2024-01-01T00:00:00.250Z", "2024-01-01 00:00:01.5Z"], {}, [0.25, 1.5]),
        (["2024-01-01 01:00+01:00", "2024-01-01 02:00+01:00"], {}, [0, 3600]),
        (["31.12.2023 23:00", "01.01.2024 01:00"], {}, [-3600, 3600]),
        (["12/31/2023 11:30 PM", "1/1/2024 12:30 AM"], {}, [-1800, 1800]),
        (["01/01/24", "02/01/24"], {"date_order": "DMY"}, [0, DAY]),
        (["1-Jan-2024", "2-Jan-2024"], {}, [0, DAY]),
        (["Jan 1, 2024", "Jan 2, 2024"], {}, [0, DAY]),
        (["20240101", "20240102"], {"time": "at"}, [0, DAY]),
        ([str(JANUARY), str(JANUARY + 60)], {"time": "at"}, [0, 60]),
        ([f"{JANUARY * 1000:.0f}", f"{JANUARY * 1000 + 5:.0f}"], {"time": "at"}, [0, 0.005]),
        (["2024", "2024.5"], {"time": "at"}, [0, 183 * DAY]),
        (["2024-01", "2024-02"], {}, [0, 31 * DAY]),
        (["2024Q1", "2024Q2"], {}, [0, 91 * DAY]),
        (["2024-01-01 01:00", "2024-07-01 02:00"], {"timezone": "Europe/Berlin"}, [0, 182 * DAY]),
    ],
)  # fmt: skip
def test_times_in_common_forms(
    tmp_path: Path, cells: list[str], options: dict[str, Any], expected: list[float]
) -> None:
    table = read(tmp_path, "at,x\n" + "".join(f'"{cell}",1\n' for cell in cells), **options)
    assert table.times is not None
    np.testing.assert_allclose(table.times - JANUARY, expected, atol=1e-5)
    assert table.column("at").role == "time"


def test_the_hour_that_occurs_twice_comes_twice(tmp_path: Path) -> None:
    local = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    text = "at,x\n" + "".join(f"2024-10-27 {time},1\n" for time in local)
    table = read(tmp_path, text, timezone="Europe/Berlin")
    assert table.times is not None
    np.testing.assert_array_equal(np.diff(table.times), [1800] * 5)


@pytest.mark.parametrize(
    ("text", "options", "place"),
    [
        ("temp,x\n" + "1,2\n" * 69999 + "abc,2\n", {}, "row 70,001, column \"temp\": 'abc' is not a number"),
        ("temp,x\n" + "?,2\n" * 40000 + "abc,2\n" + "1,2\n" * 9, {}, "row 40,002, column \"temp\": 'abc' is not a"),
        ("temp,x\n1,2\n1_0,2\n3,4\n", {}, "row 3, column \"temp\": '1_0' is not a number"),
        ("temp,x\n1,2\ninf,2\n", {}, "row 3, column \"temp\": 'inf' is not a finite"),
        ("temp,x\n1,2\n1e39,2\n", {}, "row 3, column \"temp\": '1e+39' is not a finite"),
        ("temp,x\n1,2\n3\n", {}, "row 3: the row has 1 cells, and the header has 2"),
        ("temp,temp\n1,2\n", {}, "row 1: the header has the name 'temp' twice"),
        ("temp,\n1,2\n", {}, "row 1: the header has no name for column 2"),
        ("temp,2\n1,2\n", {}, "row 1: the row may be a header"),
        ("temp,x\n", {}, "the file has no rows below its header"),
        ("", {}, "the file has no rows"),
        (b"temp,x\n1,\xe9\n", {}, "which is not utf-8"),
        (b"temp,x\n1,\x00\n", {}, "the file contains zero bytes"),
        ("temp,x\n1,\"2\n3,4\n", {}, "row 2: not a row of separated values"),
        ("at,x\n2024-01-01,1\n\"\",2\n", {"time": "at"}, "row 3, column \"at\": the row has no time"),
        ("at,x\n2023-02-29,1\n", {"time": "at"}, "row 2, column \"at\": there is no such day"),
        ("at,x\n2023-02-28 25:00,1\n", {"time": "at"}, "row 2, column \"at\": '2023-02-28 25:00' is not a time"),
        ("at,x\n2023-02-28 24:30,1\n", {"time": "at"}, "row 2, column \"at\": '2023-02-28 24:30' is not a time"),
        ("at,x\n2023-02-28 24,1\n", {"time": "at"}, "row 2, column \"at\": '2023-02-28 24' is not a time"),
        ("at,x\n24:30 2/28/23,1\n", {"time": "at"}, "row 2, column \"at\""),
        ("at,x\n0001-01-01,1\n0000-12-31,1\n", {}, "row 3, column \"at\": '0000-12-31' is not in the years 1 to 9999"),
        ("at,x\n9999-12-31 23:59,1\n", {"timezone": "America/New_York"}, "is not in the years 1 to 9999"),
        ("at,x\n1e30,1\n", {"time": "at"}, "row 2, column \"at\": '1e30' is not in the years 1 to 9999"),
        ("temp,x\n" + "1,a\n" * 1500 + "1,\0\n", {}, "row 1,502, column \"x\": the text has a zero byte"),
        ("temp,x\n" + "1," * 2_000_000, {}, "row 2: the line has more than 2,097,152 characters"),
        ("temp,x\n" + "1,2\n" * 2000 + "1," * 2_000_000, {}, "row 2,002: the row has "),
        (",".join(map(str, range(600_000))), {}, "row 1: the line has more than"),
        (",".join(f"c{number}" for number in range(9000)) + "\n", {}, "row 1: the header has 9,000 columns"),
        ("x" * 1_500_000 + "\n1\n", {}, "row 1: not a row of separated values"),
        ("at,x\n1/2/2024,1\n2/3/2024,1\n", {}, "date_order=DMY or date_order=MDY"),
        ("at,x\n13/2/2024,1\n2/13/2024,1\n", {}, "row 3, column \"at\""),
        ("at,x\n2024-01-01T00:00+01:00,1\n2024-01-02T00:00+05:00,1\n", {}, "row 3, column \"at\": '2024-01-02T00"),
        ("at,x\n2024-01-01T00:00Z,1\n2024-01-02T00:00,1\n", {}, "row 3, column \"at\""),
        ("at,x\n2024-03-31 02:30,1\n", {"timezone": "Europe/Berlin"}, "row 2, column \"at\": there was no such time"),
        ("at,x\n2024-01-01,1\n2024-01-01,2\n", {}, "row 3: the time is that of row 2"),
        ("at,end,x\n2024-01-01,2024-01-02,1\n", {}, "name the one that counts as `time`"),
        ("s,x\na,1\n,2\n", {"series": "s"}, "row 3, column \"s\": the series has no name"),
        ("at,x\n2024-01-01,1\n2024-01-02,1\n03.01.2024,1\n", {}, "row 4, column \"at\": '03.01.2024' is not a time"),
        ("at,x\n2024-01-01,1\n2024-01-02,1\nlater,1\n", {}, "send types=at:category"),
        ("s,x,at\nb,2,2024-02-01\na,1,2024-01-02\na,2,2024-01-01\na,,2024-01-03\n", {"series": "s", "static": ("x",)},
         "row 3, column \"x\": the value differs"),
    ],
)  # fmt: skip
def test_a_fault_has_a_place(tmp_path: Path, text: str | bytes, options: dict[str, Any], place: str) -> None:
    with pytest.raises(DatasetInvalid) as caught:
        read(tmp_path, text, **options)
    assert place in caught.value.detail


def test_the_categories_of_all_columns_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b,x\n" + "".join(f"a{index},b{index},1\n" for index in range(10, 20))
    monkeypatch.setattr(categories, "MOST_CHARACTERS", 60)
    assert len(read(tmp_path, text).column("b").categories) == 10
    monkeypatch.setattr(categories, "MOST_CHARACTERS", 59)
    with pytest.raises(DatasetInvalid, match='row 11, column "b": the different texts of all columns of categories'):
        read(tmp_path, text)


def test_the_memory_of_series_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "id,at,x\n" + "".join(f"s{index},2024-01-{index},1\n" for index in range(10, 20))
    monkeypatch.setattr(categories, "series_bytes", lambda: 10 * (categories.SERIES_BYTES + 3))
    assert len(read(tmp_path, text, series="id", time="at").series_ids) == 10
    monkeypatch.setattr(categories, "series_bytes", lambda: 10 * (categories.SERIES_BYTES + 3) - 1)
    with pytest.raises(DatasetInvalid, match='row 11, column "id": the ids of 10 series need more than 2,589 bytes'):
        read(tmp_path, text, series="id", time="at")


@pytest.mark.parametrize("rule", ["first", "last", "mean"])
def test_many_rows_of_one_time_are_read_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    draw = random.Random(1)
    rows = [(at, draw.randrange(9), draw.choice("ab")) for at in (1, 2, 2, *[3] * 50, 4, *[5] * 30, 6, 6)]
    cells = [f"2024-01-0{at},{'' if x == 8 else x},{word}" for at, x, word in draw.sample(rows, len(rows))]
    text = "\n".join(["at,x,word", *cells])
    expected = read(tmp_path, text, time="at", duplicates=rule)
    monkeypatch.setattr(row_order, "RUN_ROWS", 16)
    monkeypatch.setattr(ordered_columns, "BLOCK_ROWS", 4)
    monkeypatch.setattr(ordered_columns, "MOST_TOGETHER", 8)
    most, picked = list[int](), ordered_columns._picked

    def counted(whole: Any, rows: Any) -> Any:
        most.append(len(rows))
        return picked(whole, rows)

    monkeypatch.setattr(ordered_columns, "_picked", counted)
    found = read(tmp_path, text, time="at", duplicates=rule)
    assert found.times is not None
    assert found.times.tolist() == [JANUARY + DAY * day for day in range(6)]
    for name in ("x", "word"):
        np.testing.assert_array_equal(found.values[name], expected.values[name])
    assert max(most) <= 8


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"time": "tepm"}, "/time"),
        ({"timezone": "Mars/Base"}, "/timezone"),
        ({"encoding": "ebcdic"}, "/encoding"),
        ({"series": "at", "time": "at"}, "/series"),
        ({"ignore": ("temp",)}, "/ignore"),
    ],
)
def test_an_option_that_does_not_fit_is_named(tmp_path: Path, options: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, "at,temp\n2024-01-01,1\n", **options)
    assert caught.value.pointer == pointer


def test_the_whole_column_says_whether_it_has_categories(tmp_path: Path) -> None:
    text = "code,x\n" + "7,1\n" * 70000 + "".join(f"k{index % 3},1\n" for index in range(70001))
    table = read(tmp_path, text)
    assert table.column("code").categories == ("7", "k0", "k1", "k2")
    assert table.values["code"][0] == 0
    assert table.values["code"][-1] == 1 + 70000 % 3


@pytest.mark.parametrize("run_rows", [1 << 20, 4096])
@pytest.mark.parametrize("rule", ["first", "last", "mean"])
def test_rows_are_sorted_and_duplicates_follow_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_rows: int, rule: str
) -> None:
    monkeypatch.setattr(row_order, "RUN_ROWS", run_rows)
    monkeypatch.setattr(ordered_columns, "WINDOW_BYTES", 4 * run_rows)
    draw = random.Random(rule)
    rows = [(draw.choice("CAB"), draw.randrange(9000), draw.randrange(-50, 50)) for _ in range(20000)]
    text = "s,at,x,k\n" + "".join(f"{s},{JANUARY + at},{x},{s}{x % 2}\n" for s, at, x in rows)
    table = read(tmp_path, text, series="s", time="at", duplicates=rule)
    groups: dict[tuple[str, int], list[int]] = {}
    for s, at, x in rows:
        groups.setdefault((s, at), []).append(x)
    picks: dict[str, Callable[[list[int]], float]] = {
        "first": lambda xs: xs[0], "last": lambda xs: xs[-1], "mean": lambda xs: sum(xs) / len(xs)
    }  # fmt: skip
    pick = picks[rule]
    order = list(dict.fromkeys(s for s, _, _ in rows))
    expected = sorted(groups, key=lambda key: (order.index(key[0]), key[1]))
    assert list(table.series_ids) == order
    assert table.rows == len(expected)
    assert table.times is not None
    for number, name in enumerate(order):
        here = slice(*table.bounds[number : number + 2])
        keys = [key for key in expected if key[0] == name]
        np.testing.assert_array_equal(table.times[here] - JANUARY, [at for _, at in keys])
        found = np.array([pick(groups[key]) for key in keys], np.float32)
        np.testing.assert_array_equal(table.values["x"][here], found)


def test_the_digest_is_that_of_the_readings(tmp_path: Path) -> None:
    same = [build(tmp_path, text) for text in ("a,b\n1,2\n", "a;b\r\n1.0;2\r\n", "a,b\n1,3\n")]
    for each in same:
        each.file.close()
    assert same[0].digest == same[1].digest != same[2].digest
    assert same[0].size_bytes == same[1].size_bytes


def test_a_million_series_are_ragged(tmp_path: Path) -> None:
    count = 100_000  # the way is the same with more
    text = "s,x\n" + "".join(f"device-{index},{index % 7}\n" for index in range(count)) + "device-5,1\n"
    table = read(tmp_path, text, series="s")
    assert len(table.series_ids) == count
    assert table.series_ids[5] == "device-5"
    assert [place_of(table, name) for name in ("device-99999", "device-0", "device-", "", "é")] == [
        99999,
        0,
        *[None] * 3,
    ]
    assert table.bounds[6] - table.bounds[5] == 2
    assert table.values["x"][table.bounds[5] : table.bounds[6]].tolist() == [5, 1]


def test_long_rows_come_in_shorter_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of 65,536 rows of a megabyte would not fit in memory."""
    files = TemporaryFiles(tmp_path)
    for module, kind, line in ((rows, CSV, '{},"{}"\n'), (json_lines, NDJSON, '{{"x":{},"text":"{}"}}\n')):
        monkeypatch.setattr(module, "CHUNK_BYTES", 100_000)
        monkeypatch.setattr(rows, "SAMPLE_BYTES", 10_000)
        text = "".join(line.format(number, "y" * 200) for number in range(5000))
        with files.open() as file:
            file.write(("x,text\n" if kind == CSV else "").encode() + text.encode())
            file.flush()
            chunks = list(open_source(file, kind, ReadOptions(), files).chunks())
        assert len(chunks) > 5
        first = 2 if kind == CSV else 1
        assert [row for chunk in chunks for row in chunk.rows] == list(range(first, first + 5000))
        assert [cell for chunk in chunks for cell in chunk.columns[0]] == [str(number) for number in range(5000)]


def test_time_zones_need_no_database_of_the_machine() -> None:
    code = "from cellar.datasets.columns.time_zone import TimeZone; TimeZone('Europe/Berlin')"
    environment = os.environ | {"PYTHONTZPATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
