"""Settings of services that share nothing with those of other tests."""

import uuid
from pathlib import Path

import pytest

from tests.e2e.replica import environment


@pytest.fixture
def shared(redis_url: str, kernel_directory: Path) -> dict[str, str]:
    """Return the environment of services on the tests' Redis, with keys of their own."""
    prefix = f"test-{uuid.uuid4().hex}"
    return environment(redis_url=redis_url, key_prefix=prefix, cache_dir=str(kernel_directory))


@pytest.fixture
def private(tmp_path: Path, kernel_directory: Path) -> dict[str, str]:
    """Return the environment of services on one private Redis, without a worker."""
    return environment(data_dir=str(tmp_path / "data"), cache_dir=str(kernel_directory), worker="false")
