"""A real service with a Redis of its own, and a model whose states tell every history from every other one."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import redis

from cellar_client import Client
from tests.e2e.replica import environment, serving
from tests.faults.cell import NETWORK


class RedisKeys:
    """The keys of sessions in Redis, which can be put back to what they were, as if Redis had lost what came after."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def dump(self, session: str) -> dict[bytes, bytes]:
        """Return the keys of a session with their values."""
        names = cast(list[bytes], self._client.keys(f"*{{default/{session}}}*"))
        return {name: cast(bytes, self._client.dump(name)) for name in names}

    def restore(self, kept: dict[bytes, bytes]) -> None:
        """Put keys back."""
        for name, value in kept.items():
            self._client.restore(name, 0, value, replace=True)


@pytest.fixture
def redis_keys(redis_url: str) -> Iterator[RedisKeys]:
    """Yield the keys of sessions."""
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield RedisKeys(client)


@pytest.fixture(scope="session")
def service_url(redis_url: str, kernel_directory: Path) -> Iterator[str]:
    """Yield the address of a service with a worker, on keys of its own."""
    prefix = f"test-{uuid.uuid4().hex}"
    settings = {"redis_url": redis_url, "cache_dir": str(kernel_directory), "key_prefix": prefix, "worker": "true"}
    settings["key_pepper"] = "the pepper of tests"
    with serving(environment(**settings)) as replica:
        with Client(replica.url) as client:
            client.models.create("exact", NETWORK)
        yield replica.url


@pytest.fixture
def client(service_url: str) -> Iterator[Client]:
    """Yield a client of the service."""
    with Client(service_url, give_up_s=20) as client:
        yield client
