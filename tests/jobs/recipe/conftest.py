"""Kernels for the tests of the recipe."""

from pathlib import Path

import pytest

from cellar.engine import KernelCache


@pytest.fixture(scope="session")
def cache(kernel_directory: Path) -> KernelCache:
    """Return the cache of compiled kernels."""
    return KernelCache(kernel_directory)
