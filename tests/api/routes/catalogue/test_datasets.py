"""Datasets over HTTP: files in, rows, statistics and plots out, and nothing left of what was refused."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from cellar.api.routes.catalogue import datasets as routes
from cellar.datasets.ingestion import reading
from cellar.main import create_app
from cellar.settings import Settings
from tests.api.conftest import running, with_own_keys
from tests.api.keys import administration, with_keys

pytestmark = pytest.mark.anyio

CSV = {"Content-Type": "text/csv"}
READINGS = "at,room,temp\n2024-01-01,hall,20.5\n2024-01-02,hall,\n2024-01-01,attic,-3\n"


class Served:
    """A service and the directory of its datasets."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient, directory: Path) -> None:
        self.app = app
        self.client = client
        self.directory = directory

    async def add(self, text: str | bytes = READINGS, name: str = "readings", **query: str) -> httpx.Response:
        """Send a file."""
        content = text if isinstance(text, bytes) else text.encode()
        return await self.client.post("/v1/datasets", params={"name": name, **query}, content=content, headers=CSV)

    def files(self) -> list[Path]:
        """Return the files that are kept, and what else lies in the directories."""
        return [path for path in self.directory.rglob("*") if path.is_file()]


@pytest.fixture
async def served(settings: Settings, tmp_path: Path) -> AsyncIterator[Served]:
    """Yield a service that keeps datasets in a directory."""
    paths = {"dataset_dir": tmp_path / "datasets", "data_dir": tmp_path / "data"}
    app = create_app(with_own_keys(settings).model_copy(update={**paths, "max_upload_bytes": 8_000_000}))
    async with running(app) as client:
        yield Served(app, client, tmp_path)


async def test_a_file_becomes_rows_statistics_and_points(served: Served) -> None:
    made = await served.add(series="room", targets="temp")
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/datasets/readings"
    assert (made.json()["rows"], made.json()["series"], made.json()["interval_s"]) == (3, 2, 86400)
    assert (made.json()["column_count"], made.json()["missing"]) == (len(made.json()["columns"]), 1)
    again = await served.add(series="room", targets="temp")
    assert (again.status_code, again.json()) == (200, made.json())
    assert (await served.add(READINGS.replace("20.5", "21"), series="room")).status_code == 409
    rows = (await served.client.get("/v1/datasets/readings/rows", params={"series": "hall", "limit": 1})).json()
    assert rows["rows"] == [["2024-01-01T00:00:00Z", "hall", 20.5]]
    more = {"series": "hall", "cursor": rows["cursor"]}
    rest = (await served.client.get("/v1/datasets/readings/rows", params=more)).json()
    assert (rest["rows"], rest["cursor"]) == ([["2024-01-02T00:00:00Z", "hall", None]], "")
    _, series, statistics = (await served.client.get("/v1/datasets/readings/statistics")).json()["columns"][:3]
    assert (series["name"], series["categories"]) == ("room", {"hall": 2, "attic": 1})
    assert [statistics[name] for name in ("count", "missing", "min", "max", "mean")] == [2, 1, -3, 20.5, 8.75]
    points = {"column": "temp", "series": "attic"}
    assert (await served.client.get("/v1/datasets/readings/series", params=points)).json()["values"] == [-3]
    assert (await served.client.delete("/v1/datasets/readings")).status_code == 204
    assert (await served.client.get("/v1/datasets/readings")).status_code == 404
    assert not served.files()


async def test_an_exported_file_is_the_same_dataset(served: Served) -> None:
    text = "at,room,temp,note\n" + "".join(
        f"2024-01-0{day},{room},{temp},{note}\n"
        for room, day, temp, note in (("hall", 1, 20.1, '"a, ""b"""'), ("hall", 2, "", "é"), ("attic", 1, -3e-30, ""))
    )
    query = {"series": "room", "targets": "temp", "types": "note:category"}
    made = (await served.add(text, **query)).json()
    for form, kind in (("csv", "text/csv; charset=utf-8"), ("ndjson", "application/x-ndjson")):
        file = await served.client.get("/v1/datasets/readings/export", params={"format": form})
        assert (file.status_code, file.headers["content-type"]) == (200, kind)
        assert file.headers["content-disposition"] == f'attachment; filename="readings.{form}"'
        assert (file.text.count("20.1"), file.text.count("\n")) == (1, 4 if form == "csv" else 3)
        again = await served.client.post(
            "/v1/datasets", params={"name": form, **query}, content=file.content, headers={"Content-Type": kind}
        )
        assert (again.status_code, again.json()["digest"]) == (201, made["digest"])
    assert (await served.client.get("/v1/datasets/unknown/export")).status_code == 404
    assert (await served.client.get("/v1/datasets/readings/export?format=xls")).status_code == 422


async def test_a_large_file_is_read_by_a_process_of_its_own(served: Served) -> None:
    draw = np.random.default_rng(7)
    numbers = draw.normal(20, 8, 60_000).astype(np.float32)
    stations = draw.integers(0, 3, len(numbers))
    lines = [
        f"s{station},{1_700_000_000 + at},{x!r},{x:.30f}\n"
        for at, (station, x) in enumerate(zip(stations, numbers.tolist(), strict=True))
    ]
    text = "station,at,temp,same\n" + "".join(lines)
    assert len(text) > reading.HERE_BYTES
    made = await served.add(text, series="station", time="at")
    assert made.status_code == 201, made.text
    statistics = (await served.client.get("/v1/datasets/readings/statistics")).json()["columns"]
    found = statistics[2]
    assert found["quantiles"]["0.5"] == float(np.sort(numbers)[len(numbers) // 2 - 1])
    np.testing.assert_allclose([found["mean"], found["deviation"]], [numbers.mean(), numbers.std()], rtol=1e-5)
    assert statistics[0]["count"] == len(numbers)
    asked: dict[str, str | int] = {"column": "temp", "series": "s1", "points": 100}
    points = (await served.client.get("/v1/datasets/readings/series", params=asked)).json()
    assert len(points["rows"]) <= 100
    assert (min(points["values"]), max(points["values"])) == (
        numbers[stations == 1].min(),
        numbers[stations == 1].max(),
    )
    refused = await served.add(text + "s1,1800000000,warm,1\n", "other", series="station", time="at")
    assert refused.status_code == 422
    assert (refused.json()["row"], refused.json()["column"]) == (60_002, "temp")
    assert len(served.files()) == 1


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"targets": "tmep"}, "targets"),
        ({"types": "temp"}, "types"),
        ({"types": "temp:integer"}, "types"),
        ({"delimiter": "x"}, "delimiter"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"columns": "temp"}, "columns"),
        ({"name": "a/b"}, "name"),
        ({"ignore": "temp,room"}, "ignore"),
    ],
)
async def test_a_parameter_that_does_not_fit_is_named(served: Served, query: dict[str, str], parameter: str) -> None:
    refused = await served.add(**query)
    assert refused.status_code == 422
    assert (refused.json()["parameter"], refused.json()["location"]) == (parameter, "query")
    assert not served.files()


async def test_a_file_that_is_too_large_or_breaks_off_leaves_nothing(served: Served) -> None:
    assert (await served.add("a,b\n" + "1,2\n" * 2_000_100)).status_code == 413

    async def broken() -> AsyncIterator[dict[str, object]]:
        yield {"type": "http.request", "body": b"at,temp\n2024-01-01,1\n", "more_body": True}
        yield {"type": "http.disconnect"}

    messages = broken()
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return await anext(messages)

    async def send(message: object) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/datasets", "raw_path": b"/v1/datasets", "root_path": "",
        "query_string": b"name=readings", "headers": [(b"host", b"test"), (b"content-type", b"text/csv")],
        "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1), "server": ("test", 80), "state": {},
    }  # fmt: skip
    await asyncio.wait_for(served.app(scope, receive, send), 60)
    assert not sent
    assert (await served.client.get("/v1/datasets")).json()["datasets"] == []
    assert not served.files()


async def test_a_tenant_does_not_keep_the_others_waiting(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = with_keys(settings).model_copy(update={"dataset_dir": tmp_path})
    keys = administration(own)
    headers = {tenant: CSV | {"Authorization": f"Bearer {keys.create(tenant, '', ['train']).text}"} for tenant in "ab"}
    goes_on = threading.Event()

    def slow(file: Any, *more: Any) -> Any:
        """Read a file with an x only when it may."""
        file.seek(0)
        assert b"x" not in file.read() or goes_on.wait(60)
        return reading.read_table(file, *more)

    monkeypatch.setattr(routes, "read_table", slow)
    async with running(create_app(own)) as client, asyncio.TaskGroup() as group:

        async def add(name: str, tenant: str, text: str) -> int:
            """Add a dataset of a tenant and return the status."""
            answer = await client.post(f"/v1/datasets?name={name}", content=text, headers=headers[tenant])
            return answer.status_code

        slow_ones = [group.create_task(add(f"slow-{number}", "a", "x\n1\n")) for number in range(3)]
        assert await asyncio.wait_for(add("quick", "b", "y\n1\n"), 60) == 201
        assert not any(each.done() for each in slow_ones)
        goes_on.set()
    assert [each.result() for each in slow_ones] == [201, 201, 201]


async def test_a_quota_limits_the_bytes_of_a_tenant(settings: Settings, tmp_path: Path) -> None:
    own = with_keys(settings).model_copy(update={"dataset_dir": tmp_path, "tenant_dataset_bytes": 1000})
    keys = administration(own)
    headers = [{"Authorization": f"Bearer {keys.create(tenant, '', ['train']).text}"} for tenant in "ab"]
    async with running(create_app(own)) as client:

        async def add(name: str, tenant: int) -> int:
            """Add a dataset of a tenant and return the status."""
            answer = await client.post(f"/v1/datasets?name={name}", content="a,b\n1,2\n", headers=CSV | headers[tenant])
            return answer.status_code

        assert [await add("one", 0), await add("two", 0), await add("one", 1)] == [201, 429, 201]
        listed = [(await client.get("/v1/datasets", headers=each)).json()["datasets"] for each in headers]
        assert [[each["dataset"] for each in some] for some in listed] == [["one"], ["one"]]
        assert (await client.delete("/v1/datasets/one", headers=headers[0])).status_code == 204
        assert (await client.get("/v1/datasets/one", headers=headers[1])).status_code == 200
        assert await add("two", 0) == 201
