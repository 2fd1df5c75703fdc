"""What an api process does of its own accord while it runs."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from cellar.main import create_app
from cellar.memory.temporary_files import PREFIX
from cellar.settings import Settings
from tests.waiting import wait_until

pytestmark = pytest.mark.anyio


async def run_until(settings: Settings, met: Callable[[], bool]) -> None:
    """Run the application until something has happened."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await asyncio.to_thread(wait_until, met)


def test_uploads_are_written_in_the_data_directory(redis_url: str, kernel_directory: Path, tmp_path: Path) -> None:
    left = tmp_path / "tmp" / f"{PREFIX}of a killed process"
    left.parent.mkdir()
    left.write_bytes(b"weights")
    app = create_app(Settings(redis_url=redis_url, cache_dir=kernel_directory, data_dir=tmp_path))
    assert app.state.temporary_files.directory == tmp_path / "tmp"
    assert app.state.services.registry.memory == app.state.temporary_files.allocate
    assert not left.exists()


async def test_whoever_starts_with_another_replay_window_is_warned(
    redis_url: str, kernel_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = f"test-{uuid.uuid4().hex}"
    settings = Settings(redis_url=redis_url, cache_dir=kernel_directory, key_prefix=prefix, replay_window=16)
    with redis.Redis.from_url(redis_url) as client:
        await run_until(settings, lambda: client.get(f"{prefix}:window") == b"16")
    narrow = settings.model_copy(update={"replay_window": 8})
    await run_until(narrow, lambda: "CELLAR_REPLAY_WINDOW is 8 here, and was 16" in caplog.text)
