"""The entry points of the processes: the api (`serve`), the worker (`work`) and its child (`run_job`), and `warm`.

Together with `cellar.assembly`, which creates and connects the parts, this is the composition root. FastAPI and the
routes are imported by the processes that answer requests alone.
"""

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from cellar.assembly.parts import Parts
from cellar.assembly.stores import Stores
from cellar.embedded.place import Place
from cellar.engine import KernelCache, host_target, is_known, self_test, target_here
from cellar.errors import StartupError
from cellar.jobs import worker
from cellar.jobs.attempt import runner
from cellar.jobs.attempt.backtest import BacktestAttempt
from cellar.jobs.attempt.helpers import Helping
from cellar.jobs.attempt.work import work_of
from cellar.jobs.backtests.backtests import is_backtest
from cellar.machine import processors
from cellar.metrics.process_metrics import ProcessMetrics
from cellar.models.registry import Registry
from cellar.nn.builtin_kernels import builtin_kernels
from cellar.nn.training.trainer import help_fit
from cellar.ports.peers import Peers
from cellar.process import allow_all_files, return_large_blocks, yield_to_others
from cellar.settings import Settings
from cellar.store.connection import outages
from cellar.store.protocol.url import parse
from cellar.store.topology.factory import check_version, sync_client

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(settings: Settings, peers: Peers | None = None, metrics: ProcessMetrics | None = None) -> "FastAPI":
    """Return the application with all its parts; nothing is connected yet. Raise as `cellar.assembly.service.Api`.

    `metrics` are those that it publishes, by default for itself alone. FastAPI and the routes are imported now: they
    would be two thirds of the start of a worker, which does not need them.
    """
    from cellar.assembly import application

    return application.create_app(settings, peers, metrics)


def serve(settings: Settings, place: Place) -> None:
    """Answer requests on the sockets of a place until SIGTERM, then finish the running ones."""
    from cellar.server import make_server, report

    allow_all_files()
    return_large_blocks()
    if place.slot:
        outages.leave_to_first()
    channel, listeners, peer_listener = place.open_channel(), place.open_listeners(), place.open_peer_listener()
    own = listeners[min(place.slot, len(listeners) - 1)]
    peers = Peers(place.slot, peer_listener, place.peers, channel.send) if peer_listener and place.peers else None
    name = "api" if place.slots == 1 else f"api {place.slot}"
    app = create_app(settings, peers, ProcessMetrics(name, place.open_page(), place.region))
    server = make_server(app, settings, lambda: report(app.state.services, channel.send))
    server.follow(channel, peers, {slot: each for slot, each in enumerate(listeners) if each is not own})
    if settings.traces:
        _start_traces()
    server.run([own])
    if server.fault is not None:
        raise server.fault


def _start_traces() -> None:
    """Send traces from now on. Raise StartupError without OpenTelemetry."""
    try:
        from cellar import tracing  # an extra
    except ModuleNotFoundError as error:
        raise StartupError(
            f"CELLAR_TRACES needs OpenTelemetry ({error.name} is not installed): pip install"
            " 'cellar-serve[opentelemetry]'"
        ) from error
    tracing.start()


def work(settings: Settings) -> None:
    """Run training jobs until SIGTERM."""
    allow_all_files()
    parts = Parts(settings)
    gc.freeze()
    gc.enable()
    worker.run(
        lambda: sync_client(parts.queue_url),
        parts.queue_name,
        where=str(parse(parts.queue_url)),
        jobs=parts.jobs,
        sweeper=partial(parts.sweeper, where=str(parse(parts.url))),
        check=check_version,
        sweep_s=settings.job_sweep_s,
    )


def warm(settings: Settings, targets: Sequence[str], say: Callable[[str], None]) -> None:
    """Compile the kernels of all built-in parts into the kernel cache, for the named targets or this machine.

    Raise StartupError for a target that LLVM does not know.
    """
    if unknown := [name for name in targets if not is_known(name)]:
        raise StartupError(f"--target {unknown[0]}: LLVM knows no such processor here; x86-64-v3 is one on x86-64")
    for target in [target_here(name) for name in targets] or [host_target()]:
        cache = KernelCache(settings.cache_dir, target=target)
        texts = [*cache.library, *builtin_kernels()]
        compiled = cache.warm(texts)
        say(f"{compiled} of {len(texts)} kernels compiled for {target.cpu} into {settings.cache_dir}")


def run_job(tenant: str, job: str) -> None:
    """Run one training job, in a child process of a worker. rq calls this function by its name."""
    settings = Settings.load()
    stores = Stores(settings)

    def prepare() -> Registry:
        """Check the arithmetic, and return the registry. The thread that keeps the lease runs already."""
        yield_to_others(settings.job_nice)
        parts = Parts(settings)
        self_test.check(parts.kernels, training=True)
        return parts.registry

    runner.run(
        tenant,
        job,
        jobs=stores.jobs,
        blobs=stores.blobs,
        prepare=prepare,
        lease_s=settings.job_lease_s,
        stall_s=settings.job_stall_s,
        tables=stores.datasets,
        processes=min(settings.job_processes, processors()),
        kind=BacktestAttempt if is_backtest(job) else None,
    )


def help_job(tenant: str, job: str, *numbers: str) -> None:
    """Compute shards of the batches of a job, in a process that another one of the job has started."""
    helping = Helping(*map(int, numbers))
    settings = Settings.load()
    yield_to_others(settings.job_nice)
    parts, stores = Parts(settings), Stores(settings)
    work = work_of(stores.jobs.get(tenant, job), parts.registry, stores.blobs, stores.datasets)
    window = {name: value for name, value in work.bound.items() if name == "window_bytes"}
    help_fit(work.network, work.data, work.spec, helping, **window)
