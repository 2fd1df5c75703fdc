"""A process says that it is ready only once it is, and ends if its Redis can never be used."""

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
from tests.api.websocket.conftest import serving

pytestmark = pytest.mark.anyio


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
