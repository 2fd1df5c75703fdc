"""A real store, queue and blobs for the tests of jobs, each test with keys of its own."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from cellar.jobs.calls import Calls
from cellar.jobs.sweeper import Sweeper
from cellar.ports import Job
from cellar.store.blobs import RedisBlobs
from cellar.store.connect import sync_client
from cellar.store.jobs import RedisJobs


@dataclass(frozen=True, slots=True)
class Room:
    """Everything that jobs stand on."""

    client: redis.Redis
    prefix: str
    store: RedisJobs
    blobs: RedisBlobs
    calls: Calls
    sweeper: Sweeper

    def submit(self, name: str = "j1") -> Job:
        """Store a queued job with a dataset of four bytes, and queue nothing."""
        spec = {"model": "co2@1", "data": {"blob": self.blobs.put(b"data")}}
        job = Job("default", name, "queued", spec, created_s=1_700_000_000.0)
        self.store.create(job)
        return job

    def keys(self) -> list[str]:
        """Return all keys of this test, without rq's own."""
        return sorted(key.decode() for key in self.client.scan_iter(f"{self.prefix}:*", count=10_000))


@pytest.fixture
def room(redis_url: str) -> Iterator[Room]:
    """Yield an empty room."""
    client, prefix = sync_client(redis_url), f"test-{uuid.uuid4().hex}"
    store, blobs, calls = RedisJobs(client, prefix), RedisBlobs(client, prefix), Calls(client, prefix)
    yield Room(client, prefix, store, blobs, calls, Sweeper(store, blobs, calls))
    client.close()
