"""Files that come with requests: on the disk, bounded one by one and all together, and gone afterwards."""

import tempfile
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from cellar.api.errors import problems
from cellar.api.http.upload import MULTIPART, receive
from cellar.api.limits.limits import UPLOADS, Limits, Load
from cellar.api.limits.upload_space import UploadSpace
from cellar.errors import Overloaded
from cellar.memory.temporary_files import TemporaryFiles

pytestmark = pytest.mark.anyio

MOST = 1000


def make_client() -> httpx.AsyncClient:
    """Return a client of an application that answers what it has received."""
    app = FastAPI()
    app.state.load = Load(Limits(max_weights_bytes=MOST))
    app.state.max_body_bytes = 100
    app.state.temporary_files = TemporaryFiles(Path(tempfile.gettempdir()))

    @app.post("/")
    async def upload(request: Request) -> dict[str, object]:
        kind = request.headers["content-type"].partition(";")[0]
        async with receive(request, kind, file_part="weights") as upload:
            upload.file.seek(0)
            held = app.state.load.uploads.held_bytes
            parts = {name: value.decode() for name, value in upload.parts.items()}
            return {"file": len(upload.file.read()), "held": held, "parts": parts}

    @app.get("/held")
    async def held() -> int:
        return int(app.state.load.uploads.held_bytes)

    problems.install(app)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_a_file_and_parts_are_received_and_nothing_is_held_afterwards() -> None:
    async with make_client() as client:
        kind = {"Content-Type": "application/octet-stream"}
        assert (await client.post("/", content=b"x" * 70, headers=kind)).json() == {"file": 70, "held": 70, "parts": {}}
        answer = await client.post("/", files={"weights": b"y" * 500, "network": (None, "{}")})
        assert answer.json() == {"file": 500, "held": 500, "parts": {"network": "{}"}}
        assert (await client.get("/held")).json() == 0


async def test_a_file_over_the_limit_is_refused_and_nothing_is_held_afterwards() -> None:
    async with make_client() as client:
        for answer in (
            await client.post("/", content=b"x" * (MOST + 1), headers={"Content-Type": "application/octet-stream"}),
            await client.post("/", files={"weights": b"x" * (MOST + 1)}),
        ):
            assert (answer.status_code, "CELLAR_MAX_WEIGHTS_BYTES" in answer.text) == (413, True)
        answer = await client.post("/", files={"network": (None, "x" * 101)})
        assert (answer.status_code, "CELLAR_MAX_BODY_BYTES" in answer.text) == (413, True)
        assert (await client.get("/held")).json() == 0


async def test_a_part_of_one_name_comes_once_and_there_are_few() -> None:
    async with make_client() as client:
        twice = [("weights", b"x"), ("weights", b"y")]
        many = [(f"part{number}", (None, "x")) for number in range(20)]
        for files in (twice, many):
            answer = await client.post("/", files=files)
            assert (answer.status_code, "at most 16 parts" in answer.text) == (400, True)
        answer = await client.post("/", content=b"", headers={"Content-Type": MULTIPART})
        assert (answer.status_code, "boundary" in answer.text) == (400, True)


def test_all_files_together_are_bounded() -> None:
    space = UploadSpace(UPLOADS * MOST)
    space.take(UPLOADS * MOST)
    with pytest.raises(Overloaded):
        space.take(1)
    space.give_back(MOST)
    space.take(1)
