"""Compares steps of many sessions in one request (`POST /v1/steps`, frames) with the same commits alone."""

from collections.abc import Sequence
from statistics import median

import numpy as np

from benchmarks.frames import pack_steps
from benchmarks.serving import commits, copies
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant, ask
from benchmarks.serving.http import request
from benchmarks.serving.load import Found, Job
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.redis_server import Fsync
from benchmarks.serving.rounds import Effort, Series, Way, interleave, running
from benchmarks.serving.stage import ORIGINAL, Stage, draw
from cellar.wire.frames import frames

SESSIONS = 1024

CLIENTS = 2
"""The number of clients: one request is read or answered while the other is committed."""

TICK = SESSIONS // CLIENTS
"""Commits in one group, by the service and by the baseline."""

PLAIN = "commits, plain"
TRANSACTION = "commits, MULTI"
BENCHMARK = "redis-benchmark"


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure steps a second of the service, and commits a second of a client that does nothing else."""
    names = [f"many-{index:019d}" for index in range(SESSIONS)]
    with running(stage.cellar.process), stage.redis.client() as client:
        copies.copy(client, client, ORIGINAL, names)
        call = commits.watch_commit(stage.redis, lambda: ask(stage.cellar, names[0], draw(1)[0]), names[0])
    call = call.as_text()
    flooded = commits.prepare(stage.redis, call, TICK)
    ways = {
        "cellar": _cellar(stage, names, effort, "always"),
        "cellar everysec": _cellar(stage, names, effort, "everysec"),
        PLAIN: _flood(stage, call, flooded, effort, transaction=False),
        TRANSACTION: _flood(stage, call, flooded, effort, transaction=True),
    }
    if commits.redis_benchmark():
        ways[BENCHMARK] = _redis_benchmark(stage, call, effort)
    found = interleave(stage.watch, f"{SESSIONS:,} sessions, binary", ways, effort)
    return _outcome(found)


def _outcome(found: dict[str, Series]) -> Outcome:
    ours = found["cellar"]
    baseline = max((found[name] for name in (PLAIN, BENCHMARK) if name in found), key=lambda series: series.rate)
    rates = {name: median(series.rates) * TICK for name, series in found.items()}
    remarks = [
        f"{name}: {rate:,.0f} {'steps' if 'cellar' in name else 'commits'} a second" for name, rate in rates.items()
    ]
    if BENCHMARK not in found:
        remarks.append("redis-benchmark is not installed (Debian: redis-tools): the plain client takes its place")
    means = f"steps over commits a second by {baseline.contestant}, {TICK} in a pipeline"
    return Outcome(
        list(found.values()), [Bar("steps_binary", ours.faster_than(baseline).median, 0.5, means=means)], remarks
    )


def job(contestant: Contestant, names: Sequence[str], seconds: float) -> Job:
    """Return the load: each client steps its part of the sessions in one request, repeatedly."""
    size = len(names) // CLIENTS
    inputs = np.array(draw(size), np.float32)[:, None, None]
    parts = [names[at : at + size] for at in range(0, size * CLIENTS, size)]
    bodies = [pack_steps([frames.Step(*step) for step in zip(part, inputs, strict=True)]) for part in parts]
    clients = tuple((request("/v1/steps", body, frames.MEDIA_TYPE, frames.MEDIA_TYPE),) for body in bodies)
    return Job((contestant.port,), clients, seconds)


def _cellar(stage: Stage, names: list[str], effort: Effort, fsync: Fsync) -> Way:
    load = job(stage.cellar, names, effort.sample_s)

    def measure() -> Found:
        stage.redis.set_fsync(fsync)
        return stage.generator.run(load)

    return stage.cellar.process, measure


def _flood(stage: Stage, call: commits.CommitCall, names: list[str], effort: Effort, *, transaction: bool) -> Way:
    """Return the contestants that send commits to Redis directly, on the core of the service."""

    def measure() -> Found:
        stage.redis.set_fsync("always")
        return stage.flooder.run(commits.flood(stage.redis, call, names, effort.sample_s, transaction=transaction))

    return stage.flooder.process, measure


def _redis_benchmark(stage: Stage, call: commits.CommitCall, effort: Effort) -> Way:
    """Return the contestant that runs redis-benchmark for about as long as the others."""

    def run(ticks: int) -> Found:
        return commits.run_redis_benchmark(stage.redis, stage.cores.service, call, TICK, TICK, ticks)

    stage.redis.set_fsync("always")
    ticks = max(2, round(run(2).rate * effort.sample_s))

    def measure() -> Found:
        stage.redis.set_fsync("always")
        return run(ticks)

    return stage.flooder.process, measure
