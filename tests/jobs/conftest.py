"""A real store, queue and blobs for the tests of jobs, each test with keys of its own."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import redis

from cellar.datasets.datasets import Datasets
from cellar.engine import KernelCache
from cellar.jobs.attempt import runner
from cellar.jobs.attempt.runner import Fit
from cellar.jobs.options import Publish
from cellar.jobs.queue import JobQueue
from cellar.jobs.submission.submission import Jobs
from cellar.jobs.sweeper import Sweeper
from cellar.models.registry import Registry
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.ports import Job, JobStore, Lease
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.catalogue.datasets import RedisDatasets
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.catalogue.models import RedisModels
from cellar.store.topology.factory import sync_client

LEASE_S = 0.5


@dataclass(frozen=True, slots=True)
class Room:
    """Everything that jobs stand on."""

    client: redis.Redis
    prefix: str
    store: RedisJobs
    blobs: RedisBlobs
    job_queue: JobQueue
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
    store, blobs, job_queue = RedisJobs(client, prefix), RedisBlobs(client, prefix), JobQueue(client, f"{prefix}.jobs")
    yield Room(client, prefix, store, blobs, job_queue, Sweeper(store, blobs, job_queue))
    client.close()


NETWORK = NetworkSpec.model_validate(
    {
        "in_size": 1,
        "layers": [{"type": "recurrent", "cell": "rnn", "hidden_size": 4}, {"type": "dense", "out_size": 1}],
    }
)
SEED = 7
TRAINING = TrainingSpec(epochs=5, batch_size=4, seed=3)


def walks() -> Dataset:
    """Return eight random walks of twenty steps: what was added, and where it led."""
    steps = np.random.default_rng(1).normal(size=(20, 8, 1)).astype(np.float32)
    return Dataset(steps, np.cumsum(steps, axis=0, dtype=np.float32))


class Clock:
    """A clock that stands still."""

    def now_s(self) -> float:
        """Return the time."""
        return 1_700_000_000.5


@dataclass(frozen=True, slots=True)
class Workshop:
    """A room with a model in it, `walk@1`, to be trained by real training."""

    room: Room
    registry: Registry
    kernels: KernelCache
    jobs: Jobs
    datasets: Datasets

    def submit(self, training: TrainingSpec = TRAINING, publish: Publish = "if_better") -> Job:
        """Submit a training as the api does."""
        return self.jobs.submit("default", "walk", walks(), training, publish=publish).job

    def run(
        self,
        job: Job,
        fit: Fit = fit,
        *,
        store: JobStore | None = None,
        prepare: Callable[[], Registry] | None = None,
    ) -> Job:
        """Carry out an attempt in this process and return the job as it is then."""
        runner.run(
            job.tenant,
            job.job,
            jobs=store or self.room.store,
            blobs=self.room.blobs,
            prepare=prepare or (lambda: self.registry),
            lease_s=LEASE_S,
            tables=self.datasets,
            fit=fit,
        )
        return self.room.store.get(job.tenant, job.job)

    def lapse(self, job: Job) -> None:
        """Let the lease of the newest attempt run out now."""
        attempt = self.room.store.get(job.tenant, job.job).attempt
        self.room.store.renew(Lease(job.tenant, job.job, attempt), 0)


@pytest.fixture
def workshop(room: Room, kernel_directory: Path) -> Workshop:
    """Return a workshop whose only model is new."""
    kernels = KernelCache(kernel_directory)
    registry = Registry(RedisModels(room.client, room.prefix), room.blobs, kernels, Clock())
    registry.create("default", "walk", NETWORK, SEED)
    records = RedisDatasets(room.client, room.prefix, Clock())
    datasets = Datasets(records, room.blobs, room.store, Clock())
    jobs = Jobs(room.store, room.blobs, registry, room.job_queue, Clock(), datasets=datasets)
    return Workshop(room, registry, kernels, jobs, datasets)
