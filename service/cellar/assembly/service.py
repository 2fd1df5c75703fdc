"""Creates the parts of the service from the settings and connects them with one another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from fastapi import FastAPI

from cellar.api.dependencies import Services
from cellar.api.limits.compile_limit import CompileLimit
from cellar.api.routes.training.trials import TrialSubmission
from cellar.assembly.parts import Parts
from cellar.assembly.quotas import make_quotas
from cellar.datasets.datasets import SWEEP_S as DATASETS_S
from cellar.engine import KERNEL_REV, self_test
from cellar.errors import StoreUnavailable
from cellar.jobs.backtests.backtests import Backtests
from cellar.jobs.following import JobFollowing
from cellar.jobs.submission.submission import Jobs
from cellar.jobs.sweeps.sweeps import Sweeps
from cellar.keys import key_ring
from cellar.keys.administration import KeyAdministration
from cellar.keys.key_ring import KeyRing, Tenants
from cellar.keys.pepper import pepper_of
from cellar.keys.tokens import Tokens
from cellar.memory import shares
from cellar.memory.request_memory import RequestMemory
from cellar.memory.temporary_files import TemporaryFiles
from cellar.metrics.process_metrics import PUBLISH_S, ProcessMetrics
from cellar.metrics.traces import TRACES
from cellar.metrics.window import SAMPLE_S
from cellar.ports import repeat
from cellar.ports.peers import Peers
from cellar.quotas.quotas import EVERY_S as QUOTAS_S
from cellar.quotas.quotas import EXCHANGE_S, Quotas
from cellar.sessions.events.hub import EventHub
from cellar.sessions.execution.aliases import EVERY_S as ALIASES_S
from cellar.sessions.forwarding.forwarding import Forwarding
from cellar.sessions.history.history import SessionHistory
from cellar.sessions.history.logged_steps import SessionLogs
from cellar.sessions.history.replay_migrate import Replays
from cellar.sessions.history.shadows import EVERY_S as SHADOWS_S
from cellar.sessions.history.shadows import POLL_S as SHADOWS_POLL_S
from cellar.sessions.history.shadows import Shadows
from cellar.sessions.operations.bulk_deletion import RESUME_S, BulkDeletions
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.operations.forecasts import Forecasts
from cellar.sessions.operations.forks import Forks
from cellar.sessions.operations.model_deletion import EVERY_S as DELETIONS_S
from cellar.sessions.operations.model_deletion import Deletions
from cellar.sessions.operations.snapshots import Snapshots
from cellar.sessions.operations.warm_ups import WarmUps
from cellar.sessions.service.learning import SessionLearning
from cellar.sessions.service.sessions import Sessions
from cellar.sessions.service.states import States
from cellar.sessions.values.digest_chain import DIGEST_CHAIN
from cellar.sessions.values.limits import SessionLimits
from cellar.settings import Settings
from cellar.store.companions.deletions import RedisDeletions
from cellar.store.companions.events import RedisEvents
from cellar.store.companions.history import RedisHistory
from cellar.store.companions.shadows import RedisShadows
from cellar.store.companions.snapshots import RedisSnapshots
from cellar.store.connection.router import Router, Wait
from cellar.store.sessions.expiry import SWEEP_S
from cellar.store.sessions.model_uses import INDEX_S
from cellar.store.sessions.store import RedisSessions
from cellar.store.topology.factory import find_pubsub_server, open_router, sync_client
from cellar.store.topology.health import CHECK_INTERVAL_S

SETTLE_S = 2.0
"""Longest time for commits of requests that were cut off at the end of the drain."""


class Api(Parts):
    """The further parts of an api process: sessions and the operations on them.

    Raise StartupError if the process cannot work with these settings or on this machine. Redis need not be reachable.
    """

    def __init__(self, settings: Settings, peers: Peers | None = None, metrics: ProcessMetrics | None = None) -> None:
        super().__init__(settings)
        self._peers = peers
        self.temporary_files = TemporaryFiles(settings.data_dir / "tmp")
        self_test.check(self.kernels)
        self.registry.memory = self.temporary_files.allocate
        self.registry.networks.recall()
        DIGEST_CHAIN.load_with(lambda: self.kernels.digest_chain)
        # pages of logs, events and shadows go over connections of their own, so that no commit waits behind them
        router, self._second_router = (open_router(self.url, prefix=settings.key_prefix) for _ in range(2))
        self._events = RedisEvents(self._second_router, find_pubsub_server(self.url), prefix=settings.key_prefix)
        self._store = self._make_store(settings, router)
        self._sessions = self._make_sessions(settings)
        second, prefix, held_s = self._second_router, settings.key_prefix, settings.idempotency_ttl_s
        copies = RedisSnapshots(router, self._store, prefix=prefix, most=settings.max_snapshots, held_s=held_s)
        history, shadows = RedisHistory(second, prefix=prefix), RedisShadows(second, prefix=prefix)
        stored, uses, limit = (self._sessions, self._store), self._store.uses, ConcurrencyLimit()
        logged, jobs, keys = (*stored, history), self._make_jobs(settings), self._make_key_ring(settings)
        self.quotas = self._make_quotas(settings, keys, jobs)
        self.services = Services(
            sessions=self._sessions,
            states=States(*stored),
            learning=SessionLearning(*stored, self.registry),
            snapshots=Snapshots(*stored, copies, self.clock),
            forks=Forks(*stored, copies, self.clock, most_bytes=settings.max_fork_bytes),
            **self._make_forecasts(settings),
            histories=SessionHistory(*logged, limit=limit),
            session_logs=SessionLogs(*logged),
            replays=Replays(*logged, uses, self.clock, kernel_rev=KERNEL_REV, limit=limit),
            shadows=Shadows(*logged, shadows, uses, self.clock),
            event_hub=EventHub(self._store, self._events),
            registry=self.registry,
            compiles=CompileLimit(settings.compile_queue, self.quotas.take_compilation),
            deletions=Deletions(self.registry, uses, shadows, jobs, self._sessions.models),
            bulk_deletions=self._bulk_deletions(settings),
            datasets=self.datasets,
            jobs=jobs,
            **self._make_training(jobs),
            keys=keys,
            quotas=self.quotas,
            ready=self._store.ping,
            store_memory=lambda: self._store.memory,
            refresh_others=self._share_refresh(),
            metrics=metrics or ProcessMetrics("api"),
        )

    def _make_quotas(self, settings: Settings, keys: KeyRing | None, jobs: Jobs) -> Quotas:
        limited = self.registry, jobs, self._sessions
        return make_quotas(settings, self, self._second_router, Tenants(keys), *limited)

    def _make_jobs(self, settings: Settings) -> Jobs:
        self._job_queue = self.job_queue(sync_client(self.queue_url))
        self._job_sweep_s = settings.job_sweep_s
        most_bytes = settings.job_memory_bytes or shares.job_bytes(settings.local_workers)
        stores = self.jobs, self.blobs, self.registry, self._job_queue, self.clock, self.datasets
        return Jobs(*stores, most_bytes=most_bytes)

    def _make_training(self, jobs: Jobs) -> dict[str, Any]:
        """Return the services that follow jobs, and those of sweeps."""
        trials = TrialSubmission(jobs, self.blobs)
        stores = self.backtests, self.job_events, self.registry, self._job_queue, self.datasets
        return {
            "job_following": JobFollowing(self.job_events),
            "backtests": Backtests(jobs, *stores, self.clock),
            "sweeps": Sweeps(self.sweeps, jobs, self.blobs, self.registry, trials, self.clock),
            "sweep_following": JobFollowing(self.sweep_events, of_sweeps=True),
        }

    def _make_forecasts(self, settings: Settings) -> dict[str, Any]:
        """Return the services that run models on datasets beside the steps of sessions."""
        opened, most = self.datasets.open, settings.max_forecast_steps
        return {
            "forecasts": Forecasts(self._sessions, self._store, opened, max_steps=most),
            "warm_ups": WarmUps(self._sessions, opened, most),
        }

    def _make_key_ring(self, settings: Settings) -> KeyRing | None:
        self._keys_s = key_ring.EVERY_S if settings.needs_keys else key_ring.UNUSED_S
        self._quotas_s = QUOTAS_S if settings.needs_keys else key_ring.UNUSED_S
        if not settings.needs_keys and settings.key_pepper is None:
            return None
        tokens = None if settings.token_rules is None else Tokens(settings.token_rules, self.clock)
        return KeyRing(KeyAdministration(self.keys, pepper_of(settings), self.clock), tokens)

    def _make_store(self, settings: Settings, router: Router) -> RedisSessions:
        return RedisSessions(
            router,
            prefix=settings.key_prefix,
            window=settings.replay_window,
            output_cap_bytes=settings.replay_output_bytes,
            idempotency_ttl_s=settings.idempotency_ttl_s,
            tombstone_ttl_s=settings.tombstone_ttl_s,
            wait=_wait(settings),
            expired=self._events.notify_expired,
        )

    def _bulk_deletions(self, settings: Settings) -> BulkDeletions:
        store = RedisDeletions(self._second_router, self._store, prefix=settings.key_prefix)
        return BulkDeletions(store, self._store, self._sessions, self.clock)

    def _make_sessions(self, settings: Settings) -> Sessions:
        processes, given = 1 if self._peers is None else len(self._peers.paths), settings.cache_bytes
        limits = SessionLimits(
            kernel_rev=KERNEL_REV,
            default_ttl_s=settings.default_ttl_s,
            max_batch_size=settings.max_batch_size,
            max_sequence_steps=settings.max_sequence_steps,
            max_numbers=settings.max_numbers,
            cache_bytes=shares.cache_bytes(processes) if given is None else given // processes,
            model_cache_bytes=settings.model_cache_bytes,
            any_revision=settings.accept_revisions,
            queue_limit=settings.queue_limit,
            queue_wait_s=settings.queue_wait_s,
            most_together=settings.replay_window,
            state_every=settings.state_every,
        )
        memory = RequestMemory(settings.max_unfinished_bytes or shares.request_bytes(processes))
        sessions = Sessions(self._store, self._store.uses, self.registry, self.clock, limits, memory)
        self._forwarding = _forwarding(sessions, self._peers)
        return sessions

    def _background(self) -> Iterator[Coroutine[Any, Any, None]]:
        """Yield the tasks that run beside the requests."""
        tenants, metrics = Tenants(self.services.keys), self.services.metrics
        yield self._store.agree()
        yield repeat(metrics.publish_soon, PUBLISH_S, "metrics cannot be published")
        yield repeat(metrics.sample, SAMPLE_S, "metrics cannot be read")
        yield repeat(self._store.ping, CHECK_INTERVAL_S, "Redis cannot keep sessions")
        sweeping = self._once(self._store.sweeper(tenants, router=self._second_router).run)
        yield repeat(sweeping, SWEEP_S, "expired sessions cannot be searched for")
        sweeps = partial(asyncio.to_thread, self.services.sweeps.carry_on_all)
        yield repeat(self._once(sweeps), self._job_sweep_s, "sweeps cannot be carried on")
        indexing = self._once(partial(self._store.uses.complete, tenants))
        yield repeat(indexing, INDEX_S, "sessions of an older version cannot be indexed by model")
        shadows = self.services.shadows
        yield repeat(partial(shadows.run, tenants), SHADOWS_S, "shadows cannot follow their sessions")
        yield repeat(self._once(partial(shadows.poll, tenants)), SHADOWS_POLL_S / 4, "shadows cannot be searched for")
        if self.services.keys is not None:
            yield repeat(self.services.keys.refresh, self._keys_s, "API keys cannot be read")
        yield repeat(self.quotas.refresh, self._quotas_s, "the limits of tenants cannot be read")
        yield repeat(self.quotas.exchange, EXCHANGE_S, "the use of quotas cannot be exchanged")
        datasets = self._once(partial(asyncio.to_thread, self.datasets.sweep))
        yield repeat(datasets, DATASETS_S, "files of datasets that were not stored cannot be searched for")
        finishing = self._once(partial(self._of_each_tenant, self.services.deletions.finish))
        yield repeat(finishing, DELETIONS_S, "deletions of models cannot be finished")
        resuming = partial(self._of_each_tenant, self.services.bulk_deletions.resume)
        yield repeat(resuming, RESUME_S, "deletions of sessions cannot be continued")
        asking = partial(self._of_each_tenant, self._sessions.aliases.refresh)
        yield repeat(asking, ALIASES_S, "moves of aliases cannot be read")

    async def _of_each_tenant(self, work: Callable[[str], Awaitable[object]]) -> None:
        for tenant in Tenants(self.services.keys):
            await work(tenant)

    def _share_refresh(self) -> Callable[[], Awaitable[None]]:
        """Return the function that has the other processes read moved aliases; this one reads them when they ask."""
        if self._peers is None:
            return _nothing
        self._peers.on_refresh(partial(self._of_each_tenant, self._sessions.aliases.refresh))
        return self._peers.refresh_others

    def _is_first(self) -> bool:
        """Return whether this process does what one process of a service does for all of them."""
        return self._peers is None or self._peers.is_first

    def _once(self, work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        """Return work that only the first process does."""

        async def done_by_first() -> None:
            """Do it if this is the first process."""
            if self._is_first():
                await work()

        return done_by_first

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the background tasks while the application runs, then close all parts."""
        stop = threading.Event()
        sweeper = self.sweeper(self._job_queue)
        sweeping = threading.Thread(target=sweeper.run, args=(stop, self._job_sweep_s, self._is_first), name="sweeper")
        sweeping.start()
        if self.services.keys is not None:
            with suppress(StoreUnavailable):  # until the next read, requests are answered 503
                await self.services.keys.refresh()
        await self.services.metrics.sample()
        with suppress(StoreUnavailable):  # until the next read, the limits of the settings hold
            await self.quotas.refresh()
        background = [asyncio.create_task(work) for work in self._background()]
        if self._forwarding is not None:
            await self._forwarding.start()
        try:
            yield
        finally:
            stop.set()
            if self._forwarding is not None:
                await self._forwarding.leave(SETTLE_S)
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            await self.services.bulk_deletions.aclose()
            self.services.compiles.close()
            await self.quotas.aclose()
            await self._sessions.aclose(SETTLE_S)
            if self._forwarding is not None:
                await self._forwarding.aclose()
            for part in (
                self._store,
                self.services.event_hub,
                self.services.job_following,
                self.services.sweep_following,
                self._events,
                self._second_router,
            ):
                await part.aclose()
            await asyncio.to_thread(sweeping.join)
            self.services.metrics.publish()  # the counts of the last requests
            await asyncio.to_thread(TRACES.end)


def _forwarding(sessions: Sessions, peers: Peers | None) -> Forwarding | None:
    """Have the steps of sessions forwarded to their owners, if there are other processes."""
    if peers is None or len(peers.paths) == 1:
        return None
    forwarding = Forwarding(sessions.steps, peers)
    sessions.steps = forwarding.steps
    return forwarding


async def _nothing() -> None:
    """Do nothing: there is no other process."""


def _wait(settings: Settings) -> Wait | None:
    """Return the replicas for which each group of commits waits, None unless the durability is strict."""
    if settings.durability != "strict":
        return None
    return Wait(settings.strict_replicas, int(settings.strict_wait_s * 1000))
