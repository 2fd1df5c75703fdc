"""The composition root: the only file that wires the parts together. It decides nothing.

`serve`, `work` and `run_job` are what the processes of the service run; rq calls `cellar.main.run_job` by its name.
"""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis
import uvicorn
from fastapi import FastAPI

from cellar import __version__
from cellar.api.app import create_app as create_api
from cellar.api.long.exchange import Underway
from cellar.api.protocol import StepProtocol
from cellar.api.services import TENANT, Services
from cellar.api.streams.app import Streams
from cellar.api.streams.protocol import PING_S, StreamProtocol
from cellar.engine import KERNEL_REV, KernelCache, Target, host_target, revision
from cellar.errors import CellarError, SettingsInvalid, StoreUnavailable
from cellar.jobs import runner, worker
from cellar.jobs.calls import Calls
from cellar.jobs.submission import Jobs
from cellar.jobs.sweeper import Sweeper
from cellar.nn.builtin import builtin_kernels
from cellar.ports import BlobStore
from cellar.registry import Registry
from cellar.runtime.forks import Forks
from cellar.runtime.links import LINKS, links_text
from cellar.runtime.past import Pasts
from cellar.runtime.replays import Replays
from cellar.runtime.sessions import Sessions
from cellar.runtime.shadows import Shadows
from cellar.runtime.snapshots import Snapshots
from cellar.runtime.watchers import Watchers
from cellar.settings import Settings
from cellar.store.blobs import RedisBlobs
from cellar.store.clients import find_hints, open_route, sync_client
from cellar.store.events import RedisEvents
from cellar.store.files import FileBlobs
from cellar.store.jobs import RedisJobs
from cellar.store.models import RedisModels
from cellar.store.past import RedisPast
from cellar.store.route import Wait
from cellar.store.sessions import RedisSessions
from cellar.store.shadows import RedisShadows
from cellar.store.snapshots import RedisSnapshots

KEEP_ALIVE_S = 75
"""Longer than the 60 s for which usual proxies keep an idle connection: who ends it last never meets a closed one."""

BACKLOG = 2048
"""Connections that may wait while the api starts again."""

GARBAGE = 10_000
"""New objects after which the youngest are looked through: those of a hundred steps. Python's 700 are those of ten."""

SETTLE_S = 2.0
"""What a commit may take whose request was cut off at the end of the drain."""

DURABILITY = {
    "always": "each acknowledged step is on its disk (append-only file, fsync always)",
    "everysec": "a crash of its machine may lose the last second (append-only file, fsync every second)",
    "no": "a crash of its machine may lose what the system had not written yet (append-only file, no fsync)",
    "none": "a crash loses what came after its last snapshot (no append-only file)",
    "unknown": "it does not tell how durable it is",
}
"""What `durability` of the store means for people."""


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()


class Stores:
    """The synchronous stores of every process of the service."""

    def __init__(self, settings: Settings) -> None:
        self.url = _redis_url(settings)
        client = sync_client(self.url)
        self.blobs = _blobs(settings, client)
        self.jobs = RedisJobs(client, settings.key_prefix)
        self.models = RedisModels(client, settings.key_prefix)


class Parts(Stores):
    """What every process of the service is made of: the stores and what stands on them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.clock = SystemClock()
        self.queue_url = settings.queue_url or self.url
        self.queue_name = f"{settings.key_prefix}.jobs"
        self.kernels = KernelCache(settings.cache_dir, beforehand=settings.warm_dir)
        self.registry = Registry(self.models, self.blobs, self.kernels, self.clock)

    def calls(self, queue: redis.Redis) -> Calls:
        """Return the job queue on a client of the queue's Redis."""
        return Calls(queue, self.queue_name)

    def sweeper(self, calls: Calls) -> Sweeper:
        """Return what queues jobs again that nobody holds."""
        return Sweeper(self.jobs, self.blobs, calls)


def create_app(settings: Settings) -> FastAPI:
    """Return the application with everything behind it; nothing is connected yet.

    Raise StartupError for settings or a machine that cannot work; a Redis that is away is no such thing.
    """
    parts = Parts(settings)
    revision.check(parts.kernels)
    LINKS.compile_with(lambda text: parts.kernels.load([text])[0])
    route, aside = open_route(parts.url), open_route(parts.url)
    events = RedisEvents(aside, find_hints(parts.url), prefix=settings.key_prefix)
    store = RedisSessions(
        route,
        prefix=settings.key_prefix,
        window=settings.replay_window,
        output_cap_bytes=settings.replay_output_bytes,
        idempotency_ttl_s=settings.idempotency_ttl_s,
        tombstone_ttl_s=settings.tombstone_ttl_s,
        wait=_wait(settings),
        expired=events.tell_expired,
    )
    sessions = Sessions(
        store,
        lambda tenant, ref: parts.registry.load(parts.registry.get(tenant, ref)),
        parts.clock,
        kernel_rev=KERNEL_REV,
        default_ttl_s=settings.default_ttl_s,
        max_batch_size=settings.max_batch_size,
        max_sequence_steps=settings.max_sequence_steps,
        max_numbers=settings.max_numbers,
        ahead=settings.ahead,
        any_revision=settings.accept_revisions,
        queue_limit=settings.queue_limit,
        queue_wait_s=settings.queue_wait_s,
        most_together=settings.replay_window,
    )
    copies = RedisSnapshots(
        route,
        store,
        prefix=settings.key_prefix,
        most=settings.max_snapshots,
        held_s=settings.idempotency_ttl_s,
    )
    snapshots = Snapshots(sessions, store, copies, parts.clock)
    forks = Forks(sessions, store, copies, parts.clock)
    past = RedisPast(aside, prefix=settings.key_prefix)
    pasts = Pasts(sessions, store, past)
    replays = Replays(sessions, store, past, parts.clock, kernel_rev=KERNEL_REV)
    shadows = Shadows(sessions, store, past, RedisShadows(aside, prefix=settings.key_prefix), parts.clock)
    watchers = Watchers(store, events)
    calls = parts.calls(sync_client(parts.queue_url))
    jobs = Jobs(parts.jobs, parts.blobs, parts.registry, calls, parts.clock)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        sweeping = threading.Thread(target=parts.sweeper(calls).run, args=(stop, settings.job_sweep_s), name="sweeper")
        sweeping.start()
        background = (
            asyncio.create_task(store.sweeper([TENANT]).run(), name="expiry"),
            asyncio.create_task(shadows.run([TENANT]), name="shadows"),
        )
        try:
            yield
        finally:
            stop.set()
            for task in background:
                task.cancel()
            await asyncio.wait(background)
            await sessions.aclose(SETTLE_S)
            await store.aclose()
            await watchers.aclose()
            await events.aclose()
            await aside.aclose()
            await asyncio.to_thread(sweeping.join)

    services = Services(
        sessions=sessions,
        snapshots=snapshots,
        forks=forks,
        pasts=pasts,
        replays=replays,
        shadows=shadows,
        watchers=watchers,
        registry=parts.registry,
        jobs=jobs,
        ready=store.ping,
    )
    return create_api(
        services,
        max_body_bytes=settings.max_body_bytes,
        replay_window=settings.replay_window,
        lifespan=lifespan,
    )


def serve(settings: Settings, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Answer requests on a listening socket until SIGTERM, then finish those under way.

    `say` is told where the service is, and how durable its Redis really is, as soon as it can be reached.
    """
    app = create_app(settings)
    make_server(app, settings, lambda: _announce(listener, app.state.services, say)).run([listener])


def make_server(app: FastAPI, settings: Settings, announce: Callable[[], Awaitable[None]]) -> uvicorn.Server:
    """Return the server of an application."""
    config = uvicorn.Config(
        app,
        http=StepProtocol,
        ws=StreamProtocol,
        ws_max_size=settings.max_body_bytes,
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here depends on who a proxy says the client is
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    streams: Streams = app.state.streams
    services: Services = app.state.services
    underway: Underway = app.state.underway

    async def end_streams() -> None:
        underway.stop()
        await services.watchers.aclose()
        await streams.stop()

    return _Server(config, announce, end_streams, settings.drain_s)


class _Server(uvicorn.Server):
    """A server that announces itself once it can be reached, and that ends streams before it closes connections."""

    def __init__(
        self,
        config: uvicorn.Config,
        announce: Callable[[], Awaitable[None]],
        end_streams: Callable[[], Coroutine[Any, Any, None]],
        drain_s: float,
    ) -> None:
        super().__init__(config)
        self._announce = announce
        self._end_streams = end_streams
        self._drain_s = drain_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then announce."""
        await super().startup(sockets)
        # What is there now stays: the collector need not look through it with every step that it looks at.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE)
        await self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, end the streams, then stop as uvicorn does, all within the time for draining."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._drain_s
        ending = asyncio.create_task(self._end_streams())
        while not ending.done() and not self.force_exit and loop.time() < until_s:
            await asyncio.wait((ending,), timeout=0.1)  # as often as uvicorn looks whether a second signal has come
        ending.cancel()
        self.config.timeout_graceful_shutdown = int(max(0, until_s - loop.time()))
        await super().shutdown(sockets)


async def _announce(listener: socket.socket, services: Services, say: Callable[[str], None]) -> None:
    host, port = listener.getsockname()[:2]
    say(f"Cellar {__version__} is ready at http://{f'[{host}]' if ':' in host else host}:{port} (API: /docs)")
    try:
        store = await services.ready()
    except CellarError as error:
        say(f"  but {error.detail}: it is not ready until that is mended")
    else:
        say(f"  Redis {store['redis_version']}: {DURABILITY[store['durability']]}")
        if store["replicas"]:
            say("  A replica that takes over may lack what was acknowledged last: Redis copies after it has answered")


def work(settings: Settings) -> None:
    """Carry out training jobs until SIGTERM."""
    parts = Parts(settings)
    worker.run(
        lambda: sync_client(parts.queue_url),
        parts.queue_name,
        jobs=parts.jobs,
        sweeper=parts.sweeper,
        sweep_s=settings.job_sweep_s,
    )


def warm(settings: Settings, targets: Sequence[str], say: Callable[[str], None]) -> None:
    """Compile the kernels of everything built in into the kernel cache, for other processors too."""
    for target in [Target(name) for name in targets] or [host_target()]:
        cache = KernelCache(settings.cache_dir, target=target)
        texts = [*cache.library, links_text(), *builtin_kernels()]
        compiled = cache.warm(texts)
        say(f"{compiled} of {len(texts)} kernels compiled for {target.cpu} into {settings.cache_dir}")


def worker_is_alive(settings: Settings) -> bool:
    """Return whether a training worker of this host has shown itself lately. Raise StoreUnavailable."""
    parts = Parts(settings)
    return worker.is_alive(parts.calls(sync_client(parts.queue_url)))


def run_job(tenant: str, job: str) -> None:
    """Carry out one job: what a worker's child process runs."""
    settings = Settings.load()
    stores = Stores(settings)

    def prepare() -> Registry:
        parts = Parts(settings)
        revision.check(parts.kernels, training=True)
        return parts.registry

    runner.run(tenant, job, jobs=stores.jobs, blobs=stores.blobs, prepare=prepare, lease_s=settings.job_lease_s)


def _blobs(settings: Settings, client: redis.Redis) -> BlobStore:
    if settings.blob_dir is None:
        return RedisBlobs(client, settings.key_prefix)
    try:
        return FileBlobs(settings.blob_dir)
    except StoreUnavailable as error:
        raise SettingsInvalid(f"CELLAR_BLOB_DIR: {error.detail}") from error


def _wait(settings: Settings) -> Wait | None:
    """Return what each tick waits for, if durability is strict."""
    if settings.durability != "strict":
        return None
    return Wait(settings.strict_replicas, int(settings.strict_wait_s * 1000))


def _redis_url(settings: Settings) -> str:
    if settings.redis_url is None:
        raise SettingsInvalid("CELLAR_REDIS_URL names no Redis; only `cellar serve` brings one of its own")
    return settings.redis_url
