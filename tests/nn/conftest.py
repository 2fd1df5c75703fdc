"""A kernel cache that all test processes and runs share: its keys cover everything that kernels depend on."""

import pytest

from cellar.engine import KernelCache

collect_ignore = ["golden/make.py"]
"""It needs PyTorch, which only the person who makes new golden files installs."""


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> KernelCache:
    """Return a cache in pytest's own cache directory."""
    assert pytestconfig.cache is not None
    return KernelCache(pytestconfig.cache.mkdir("kernels"))
