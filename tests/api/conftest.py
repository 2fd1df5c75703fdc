"""The real application on a real Redis, with real kernels, spoken to in the process."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from cellar.main import create_app
from cellar.settings import Settings

Serve = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]

MAX_BODY_BYTES = 256 * 1024


@pytest.fixture(scope="session")
def kernels(pytestconfig: pytest.Config) -> Path:
    """Return the directory of compiled kernels, which outlives the run."""
    return pytestconfig.cache.mkdir("kernels")


@pytest.fixture(scope="session")
def serve(kernels: Path) -> Serve:
    """Return what serves the application on a Redis, with keys of its own, and gives a client of it."""

    @asynccontextmanager
    async def serving(redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
        settings = Settings(
            redis_url=redis_url,
            key_prefix=f"test-{uuid.uuid4().hex}",
            cache_dir=kernels,
            max_body_bytes=MAX_BODY_BYTES,
            max_sequence_steps=1000,
            max_batch_size=64,
        )
        app = create_app(settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client,
        ):
            yield client

    return serving


@pytest.fixture(scope="module")
async def client(serve: Serve, redis_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an application that the tests of one file share."""
    async with serve(redis_url) as client:
        yield client
