"""Steps that are forwarded end as those that run where they came: other tests, with all steps forwarded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sessions.conftest import Service, StartService
from tests.sessions.forwarding.siblings import forwarding_all
from tests.sessions.test_after import *  # noqa: F403  # its tests
from tests.sessions.test_bursts import *  # noqa: F403  # its tests

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(redis_url: str, start_service: StartService, tmp_path: Path) -> AsyncIterator[Service]:
    """Yield a service that forwards all its steps."""
    async with forwarding_all(start_service, redis_url, tmp_path) as origin:
        yield origin
