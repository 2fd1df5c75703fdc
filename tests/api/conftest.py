"""The real application on a real Redis, with real kernels, spoken to in the process."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from cellar.api.specs import openapi
from cellar.main import create_app
from cellar.settings import Settings

DOCUMENT = openapi.document()
MAX_BODY_BYTES = 256 * 1024


async def check_declared(answer: httpx.Response) -> None:
    """Fail if the OpenAPI document does not have the answer's status, or the name of its problem, at its operation."""
    await answer.aread()
    method = answer.request.method.lower()
    for path, operations in DOCUMENT["paths"].items():
        if method in operations and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), answer.request.url.path):
            description = operations[method]["responses"][str(answer.status_code)]["description"]
            assert answer.is_success or f"`{answer.json()['type'].split(':')[-1]}`" in description, answer.text


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run an application and yield a client of it."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://test", timeout=60, event_hooks={"response": [check_declared]}
        ) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def settings(redis_url: str, kernel_directory: Path) -> Settings:
    """Return settings with limits that tests can reach."""
    return Settings(
        redis_url=redis_url,
        allowed_hosts=("test",),
        cache_dir=kernel_directory,
        max_body_bytes=MAX_BODY_BYTES,
        max_sequence_steps=1000,
        max_batch_size=64,
        key_pepper="the pepper of tests",
    )


def with_own_keys(settings: Settings, **changes: str | float) -> Settings:
    """Return the settings with keys of its own, and other changes."""
    return settings.model_copy(update={"key_prefix": f"test-{uuid.uuid4().hex}", **changes})


@pytest.fixture(scope="module")
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an application that the tests of one file share."""
    async with running(create_app(with_own_keys(settings))) as client:
        yield client
