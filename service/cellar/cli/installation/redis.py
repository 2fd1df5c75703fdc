"""The Redis of an installation: the one that is named, or the private one of the data directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from cellar.embedded.directory import Directory
from cellar.embedded.server import PrivateRedis
from cellar.settings import Settings


@contextmanager
def running_redis(settings: Settings) -> Iterator[str]:
    """Yield the URL of the Redis. A private one that does not run is started meanwhile. Raise StartupError."""
    if settings.redis_url is not None:
        yield settings.redis_url
        return
    directory = Directory(settings.data_dir, settings.runtime_dir)
    with PrivateRedis(directory, max_memory_bytes=settings.redis_max_memory_bytes) as server:
        yield server.url


def redis_that_runs(settings: Settings) -> str | None:
    """Return the URL of the Redis, None for a private one that does not run. Raise StartupError."""
    if settings.redis_url is not None:
        return settings.redis_url
    if not settings.data_dir.exists():
        return None
    server = PrivateRedis(Directory(settings.data_dir, settings.runtime_dir))
    return server.url if server.is_running() else None


def is_served(settings: Settings) -> bool:
    """Return whether a service uses the private Redis now; False for a Redis that is named, which does not tell."""
    if settings.redis_url is not None or not settings.data_dir.exists():
        return False
    users = os.open(settings.data_dir / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return not Directory.leave(users)  # it has not joined, and so can lock exclusively if there are no users
    finally:
        os.close(users)
