"""Creates the quotas of an api process, and connects them with the parts that they limit."""

from collections.abc import Iterable
from typing import Protocol

from cellar.datasets.datasets import Datasets
from cellar.jobs.submission.submission import Jobs
from cellar.models.registry import Registry
from cellar.ports.catalogue.quotas import CatalogueUse
from cellar.quotas.limits import TenantLimits
from cellar.quotas.quotas import Quotas
from cellar.quotas.stored_use import OF_SESSIONS, CatalogueQuota, SessionQuota
from cellar.sessions.service.session_quota import NO_QUOTA
from cellar.sessions.service.sessions import Sessions
from cellar.settings import Settings
from cellar.store.catalogue.datasets import RedisDatasets
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.catalogue.models import RedisModels
from cellar.store.catalogue.quotas import RedisQuotas
from cellar.store.catalogue.sweeps import RedisSweeps
from cellar.store.connection.retry import RetryingClient
from cellar.store.connection.router import Router
from cellar.store.keys import SessionKeys
from cellar.store.sessions.index import SessionIndex


class StoredCatalogue(Protocol):
    """The stores of a process that are used here."""

    dataset_records: RedisDatasets
    datasets: Datasets
    jobs: RedisJobs
    models: RedisModels
    quota_store: RedisQuotas
    sweeps: RedisSweeps


def make_quotas(
    settings: Settings,
    stores: StoredCatalogue,
    router: Router,
    tenants: Iterable[str],
    registry: Registry,
    jobs: Jobs,
    sessions: Sessions,
) -> Quotas:
    """Return the quotas. The other parts ask them from now on. No step uses `router`."""

    def count(tenant: str) -> CatalogueUse:
        """Return the models, the unfinished jobs, and the bytes of datasets and of data of jobs of a tenant."""
        unfinished = stores.jobs.unfinished_of(tenant)
        dataset_bytes = sum(int(job.spec.get("dataset_bytes", 0)) for job in unfinished)
        dataset_bytes += stores.jobs.retained_bytes(tenant) + stores.sweeps.data_bytes(tenant)
        dataset_bytes += stores.dataset_records.size_bytes(tenant)
        return CatalogueUse(len(stores.models.names(tenant)), len(unfinished), dataset_bytes)

    limits = TenantLimits(lambda name: getattr(settings, name))
    index = SessionIndex(RetryingClient(router), SessionKeys(settings.key_prefix))
    of_sessions = SessionQuota(limits, index.use, tenants)
    catalogue = CatalogueQuota(limits, count, tenants)
    quotas = Quotas(limits, stores.quota_store, of_sessions, catalogue)
    registry.quota = jobs.quota = stores.datasets.quota = catalogue

    def take_over() -> None:
        """Count steps and sessions only while they are limited."""
        sessions.steps.quota = quotas if quotas.limits_steps else None
        sessions.quota = of_sessions if limits.has_any(OF_SESSIONS) else NO_QUOTA

    quotas.on_change(take_over)
    return quotas
