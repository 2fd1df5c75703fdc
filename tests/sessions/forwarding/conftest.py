"""Services on one Redis that forward steps to each other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.sessions.conftest import StartService
from tests.sessions.forwarding.siblings import Sibling, joined

StartSiblings = Callable[[int], Awaitable[list[Sibling]]]


@pytest.fixture
async def start_siblings(redis_url: str, start_service: StartService, tmp_path: Path) -> AsyncIterator[StartSiblings]:
    """Yield a maker of so many siblings on the shared Redis."""
    started: list[Sibling] = []

    async def start(count: int) -> list[Sibling]:
        started.extend(await joined([start_service(redis_url) for _ in range(count)], tmp_path))
        return started

    yield start
    for each in started:
        await each.forwarding.leave(1.0)
    for each in started:
        await each.forwarding.aclose()
