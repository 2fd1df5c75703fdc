"""A process says that it is ready only once it is, and ends if its Redis can never be used."""

import asyncio
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cellar import server
from cellar.errors import StartupError, StoreUnavailable
from cellar.server import report
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected
from tests.api.websocket.conftest import serving, until

pytestmark = pytest.mark.anyio

PROBLEM = "urn:cellar:problem:overloaded"


def services(*answers: Any) -> Any:
    """Return services whose store gives these answers, one after the other."""
    coming = iter(answers)

    async def ready() -> Any:
        """Return or raise the next answer."""
        answer = next(coming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(ready=ready)


async def test_a_process_is_ready_once_redis_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READY_S", 0)
    away, sent = StoreUnavailable("Redis is not answering"), list[Any]()
    await report(services(away, away, {"replicas": 0}), sent.append)
    assert sent == [{"waiting": "Redis is not answering"}, {"ready": {"replicas": 0}}]


async def test_an_old_redis_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READY_S", 0)
    old = StoreUnavailable("Redis 6.0.16 is too old: 6.2 or newer is needed", is_unfit=True)
    sent = list[Any]()
    with pytest.raises(StartupError, match=r"6\.0\.16 is too old.*CELLAR_REDIS_URL"):
        await report(services(StoreUnavailable("Redis is not answering"), old), sent.append)
    assert sent == [{"waiting": "Redis is not answering"}]


async def test_a_server_that_has_started_collects_garbage(redis_url: str, kernel_directory: Path) -> None:
    settings = with_own_keys(Settings(redis_url=redis_url, cache_dir=kernel_directory))
    gc.disable()  # as the process does while it starts
    try:
        async with serving(settings):
            assert gc.isenabled()
    finally:
        gc.enable()


async def test_an_upload_that_has_not_ended_when_the_service_stops_is_answered(
    redis_url: str, kernel_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_own_keys(Settings(redis_url=redis_url, cache_dir=kernel_directory, drain_s=1))
    async with serving(settings) as served, connected(served) as client, asyncio.timeout(60):
        head = (
            "POST /v1/datasets?name=late HTTP/1.1",
            "Host: localhost",
            "Content-Type: text/csv",
            "Content-Length: 1000000",
        )
        client.writer.write("\r\n".join([*head, "", ""]).encode() + b"a,b\n" + b"1,2\n" * 10_000)
        await until(lambda: bool(served.server.server_state.tasks))
        served.server.should_exit = True
        answer = await client.answer()
        assert (answer.status, answer.body["type"], answer.body["outcome"]) == (503, PROBLEM, "unknown")
        assert await client.ended()
    assert "Traceback" not in caplog.text
