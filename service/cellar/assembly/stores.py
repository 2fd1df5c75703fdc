"""Creates the synchronous stores of every process of the service."""

from cellar.datasets.datasets import Datasets
from cellar.errors import SettingsInvalid
from cellar.ports.clock import SystemClock
from cellar.settings import Settings
from cellar.store.catalogue.blobs.stores import open_blobs
from cellar.store.catalogue.datasets import RedisDatasets
from cellar.store.catalogue.job_events import RedisJobEvents
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.catalogue.keys import RedisKeys
from cellar.store.catalogue.models import RedisModels
from cellar.store.catalogue.quotas import RedisQuotas
from cellar.store.catalogue.sweeps import RedisSweeps
from cellar.store.topology.factory import sync_client


class Stores:
    """The synchronous stores of every process of the service."""

    def __init__(self, settings: Settings) -> None:
        self.url = _redis_url(settings)
        client = sync_client(self.url)
        self.blobs = open_blobs(settings.blob_dir, "CELLAR_BLOB_DIR", client, settings.key_prefix)
        self.dataset_blobs = open_blobs(settings.dataset_directory, "CELLAR_DATASET_DIR", client, settings.key_prefix)
        self.jobs = RedisJobs(client, settings.key_prefix, settings.job_retained_s, settings.job_state_bytes)
        self.backtests = RedisJobs(client, settings.key_prefix, index="backtests")
        self.job_events = RedisJobEvents(client, settings.key_prefix)
        self.sweeps = RedisSweeps(client, settings.key_prefix)
        self.sweep_events = RedisJobEvents(client, settings.key_prefix, of_sweeps=True)
        self.models = RedisModels(client, settings.key_prefix)
        self.keys = RedisKeys(client, settings.key_prefix)
        self.quota_store = RedisQuotas(client, settings.key_prefix)
        self.clock = SystemClock()
        self.dataset_records = RedisDatasets(client, settings.key_prefix, self.clock)
        self.datasets = Datasets(self.dataset_records, self.dataset_blobs, self.jobs, self.clock, self.sweeps)


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise SettingsInvalid("CELLAR_REDIS_URL is not set; only `cellar serve` starts a Redis of its own")
    return settings.redis_url
