"""Rows of steps that are forwarded end as those of steps that run where they came: other tests, with all forwarded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cellar.nn.execution.executable import BoundNetwork
from tests.sessions.conftest import Service, StartService
from tests.sessions.forwarding.siblings import forwarding_all
from tests.sessions.test_bits import WatchedModels
from tests.sessions.test_rows import (  # noqa: F401  # tests, and their fixture
    bound,
    test_random_rows_rest_and_begin_anew,
    test_rows_end_where_they_end,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def service(
    redis_url: str,
    start_service: StartService,
    bound: BoundNetwork,  # noqa: F811  # a fixture, imported above
    tmp_path: Path,
) -> AsyncIterator[Service]:
    """Yield a service of the network that forwards all its steps."""
    async with forwarding_all(start_service, redis_url, tmp_path, models=WatchedModels(bound)) as origin:
        yield origin
