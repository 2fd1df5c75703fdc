"""Creates the parts of every process of the service. Workers need no others, so nothing of the API is imported here."""

import redis

from cellar.assembly.stores import Stores
from cellar.engine import KernelCache
from cellar.jobs.queue import JobQueue, queue_name
from cellar.jobs.sweeper import Sweeper
from cellar.models.learning import LearningModels
from cellar.settings import Settings


class Parts(Stores):
    """The parts of every process of the service: the stores, the kernel cache and the registry."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.queue_url = settings.queue_url or self.url
        self.queue_name = queue_name(settings.key_prefix)
        self.kernels = KernelCache(settings.cache_dir, beforehand=settings.warm_dir)
        self.registry = LearningModels(self.models, self.blobs, self.kernels, self.clock)

    def job_queue(self, queue: redis.Redis) -> JobQueue:
        """Return the job queue on a client of its Redis."""
        return JobQueue(queue, self.queue_name)

    def sweeper(self, job_queue: JobQueue, where: str | None = None) -> Sweeper:
        """Return the sweeper, which queues jobs again whose worker has died; `where` is that of `Sweeper`."""
        return Sweeper(self.jobs, self.blobs, job_queue, where)
