"""A kernel cache that all test processes and runs share: its keys cover everything that kernels depend on."""

from pathlib import Path

import pytest

from cellar.engine import KernelCache

collect_ignore = ["golden/make.py", "golden/make_likelihoods.py", "golden/make_long_runs.py", "golden/make_regimes.py"]
"""They need PyTorch, which only the person who makes new golden files installs."""


@pytest.fixture(scope="session")
def cache(kernel_directory: Path) -> KernelCache:
    """Return the cache of compiled kernels."""
    return KernelCache(kernel_directory)
