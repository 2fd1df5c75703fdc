"""A running service, as the pages' reader has one."""

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cellar.demo.service import Service
from cellar.settings import Settings


@pytest.fixture(scope="session")
def service_url(redis_url: str, kernel_directory: Path) -> Iterator[str]:
    """Yield the address of a real service with a worker, on keys of its own."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CELLAR_REDIS_URL", redis_url)
            environment.setenv("CELLAR_KEY_PREFIX", f"test-{uuid.uuid4().hex}")
            environment.setenv("CELLAR_CACHE_DIR", str(kernel_directory))
            environment.setenv("CELLAR_PORT", "0")
            environment.setenv("CELLAR_JOB_NICE", "0")  # a job yields to all other tests too
            environment.setenv("PYTHONPATH", os.pathsep.join(sys.path))
            service = stack.enter_context(Service(Settings.load()))
        yield service.url
