"""What the processes of the service run: `serve`, `work` and `run_job`, which rq calls by its name.

With `cellar.assembly`, which wires the parts together, this is the composition root.
"""

import resource
import socket
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from fastapi import FastAPI

from cellar.api.app import create_app as create_api
from cellar.api.http.access import Access
from cellar.api.limits.limits import Limits
from cellar.assembly import Api, Parts, Stores
from cellar.engine import KernelCache, host_target, is_known, self_test, target_here
from cellar.errors import StartupError
from cellar.jobs import runner, worker
from cellar.nn.builtin_kernels import builtin_kernels
from cellar.open_files import allow_all, connections_within
from cellar.registry import Registry
from cellar.server import announce, make_server
from cellar.settings import Settings
from cellar.store.protocol.url import parse
from cellar.store.topology.factory import sync_client


def create_app(settings: Settings) -> FastAPI:
    """Return the application with everything behind it; nothing is connected yet. Raise as `Api`."""
    api = Api(settings)
    return create_api(
        api.services,
        Access.of(settings.host, settings.allowed_hosts, settings.allowed_origins),
        max_body_bytes=settings.max_body_bytes,
        replay_window=settings.replay_window,
        limits=_limits(settings),
        lifespan=api.lifespan,
    )


def _limits(settings: Settings) -> Limits:
    """Return the limits that the settings say; connections must fit into the files that may be open."""
    limits = Limits(**{field.name: getattr(settings, field.name) for field in fields(Limits)})
    most = connections_within(settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return replace(limits, max_connections=most)


def serve(settings: Settings, listener: socket.socket, say: Callable[[str], None]) -> None:
    """Answer requests on a listening socket until SIGTERM, then finish those under way.

    `say` is told where the service is, and how durable its Redis really is, as soon as it can be reached.
    """
    allow_all()
    app = create_app(settings)
    make_server(app, settings, lambda: announce(listener, app.state.services, say)).run([listener])


def work(settings: Settings) -> None:
    """Carry out training jobs until SIGTERM."""
    allow_all()
    parts = Parts(settings)
    worker.run(
        lambda: sync_client(parts.queue_url),
        parts.queue_name,
        where=str(parse(parts.queue_url)),
        jobs=parts.jobs,
        sweeper=parts.sweeper,
        sweep_s=settings.job_sweep_s,
    )


def warm(settings: Settings, targets: Sequence[str], say: Callable[[str], None]) -> None:
    """Compile the kernels of everything built in into the kernel cache, for other processors too.

    Raise StartupError for a processor that LLVM does not know.
    """
    if unknown := [name for name in targets if not is_known(name)]:
        raise StartupError(f"--target {unknown[0]}: LLVM knows no such processor here; x86-64-v3 is one on x86-64")
    for target in [target_here(name) for name in targets] or [host_target()]:
        cache = KernelCache(settings.cache_dir, target=target)
        texts = [*cache.library, *builtin_kernels()]
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
        self_test.check(parts.kernels, training=True)
        return parts.registry

    runner.run(tenant, job, jobs=stores.jobs, blobs=stores.blobs, prepare=prepare, lease_s=settings.job_lease_s)
