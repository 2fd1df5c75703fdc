"""Facts about a service now: its metrics, its Redis and its training jobs. `/metrics` and `/v1/stats` answer them."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from anyio.to_thread import run_sync

from cellar import __version__
from cellar.api.dependencies import Services
from cellar.api.schemas.catalogue.stats import (
    JobStats,
    LatencyStats,
    ModelStats,
    ProcessStats,
    Quantiles,
    RequestStats,
    SessionStats,
    StatsAnswer,
    StepStats,
    StoreStats,
    TrafficStats,
)
from cellar.api.schemas.names import time_of
from cellar.errors import CellarError, StoreUnavailable
from cellar.extension_modules import FORM
from cellar.jobs.following import ENDED
from cellar.metrics.catalogue import Labels, Value
from cellar.metrics.snapshot import Series, Snapshot, merged
from cellar.metrics.window import Change
from cellar.ports import JobState, UnendedJob

SHARES = (0.5, 0.9, 0.99)
"""The quantiles of `/v1/stats`."""


class ServiceFacts(NamedTuple):
    """The facts about a service at one time."""

    snapshots: Sequence[Snapshot]
    series: Series
    """The metrics of all processes."""
    change: Change
    """Their change in the last minute."""
    store: StoreStats
    jobs: Sequence[UnendedJob] | None
    """The jobs that have not ended; None if Redis does not answer."""
    jobs_ended: Mapping[JobState, int]
    """The number of jobs that have ended in each state."""
    now_s: float
    """Seconds since the Unix epoch."""


async def facts_of(services: Services) -> ServiceFacts:
    """Return the facts of the service. A Redis that does not answer is one of them."""
    snapshots = services.metrics.all()
    series = merged(snapshots)
    change = services.metrics.window.since(time.monotonic(), series)
    jobs: Sequence[UnendedJob] | None = None
    store = await _store_of(services)
    ended: Mapping[JobState, int] = {}
    with suppress(StoreUnavailable):
        if store.ready:
            jobs, ended = await run_sync(services.jobs.unended), await services.job_following.outcomes()
    return ServiceFacts(snapshots, series, change, store, jobs, ended, time.time())


async def _store_of(services: Services) -> StoreStats:
    try:
        facts = await services.ready()
    except CellarError as error:
        return StoreStats(ready=False, detail=error.detail, memory_bytes=0, memory_limit_bytes=0, facts={})
    used, limit = services.store_memory()
    return StoreStats(ready=True, detail=None, memory_bytes=used, memory_limit_bytes=limit, facts=facts)


def all_series(facts: ServiceFacts) -> Series:
    """Return all metrics of the service."""
    found: Series = {
        **facts.series,
        "cellar_build_info": {(__version__, FORM): 1.0},
        "cellar_redis_up": {(): float(facts.store.ready)},
    }
    known = facts.store.facts
    if facts.store.ready:
        names = ("redis_version", "durability", "maxmemory_policy")
        found["cellar_redis_info"] = {tuple([str(known.get(name, "unknown")) for name in names]): 1.0}
        found["cellar_redis_primaries"] = {(): known["primaries"]}
        found["cellar_redis_replicas"] = {(): known["replicas"]}
        found["cellar_redis_memory_bytes"] = {(): facts.store.memory_bytes}
        found["cellar_redis_memory_limit_bytes"] = {(): facts.store.memory_limit_bytes}
    if facts.jobs is not None:
        jobs = _jobs(facts.jobs, facts.now_s)
        found["cellar_jobs"] = {("queued",): jobs.queued, ("running",): jobs.running}
        found["cellar_jobs_ended_total"] = {(state,): facts.jobs_ended.get(state, 0) for state in ENDED}
        found["cellar_job_queue_age_seconds"] = {(): jobs.oldest_queued_s or 0.0}
    return found


def stats_of(facts: ServiceFacts, tenant: str | None) -> StatsAnswer:
    """Return the answer of `/v1/stats`: about the service, or only about one tenant."""
    models = [_model(facts, key) for key in facts.series["cellar_model_steps_total"] if tenant in (None, key[0])]
    models.sort(key=lambda model: (-model.steps_per_second, -model.steps, model.tenant, model.model))
    jobs = None if facts.jobs is None else [job for job in facts.jobs if tenant in (None, job.tenant)]
    return StatsAnswer(
        scope="service" if tenant is None else "tenant",
        version=__version__,
        build=FORM,
        window_s=facts.change.seconds,
        store=facts.store,
        steps=StepStats(
            total=sum(model.steps for model in models), per_second=sum(model.steps_per_second for model in models)
        ),
        latency_ms=LatencyStats(
            step=_quantiles(facts, "cellar_step_seconds"),
            queue=_quantiles(facts, "cellar_step_queue_seconds"),
            kernel=_quantiles(facts, "cellar_kernel_seconds"),
            commit=_quantiles(facts, "cellar_commit_seconds"),
        ),
        models=models,
        jobs=None if jobs is None else _jobs(jobs, facts.now_s),
        **(_of_service(facts) if tenant is None else dict.fromkeys(("requests", "sessions", "traffic", "processes"))),
    )


def _of_service(facts: ServiceFacts) -> dict[str, Any]:
    """Return the members that only the operator sees."""
    outcomes: dict[str, int] = {}
    for (_, outcome), value in facts.series["cellar_step_requests_total"].items():
        outcomes[outcome] = outcomes.get(outcome, 0) + _whole(value)
    labels = [*facts.series["cellar_step_requests_total"]]
    rate = sum(facts.change.rate("cellar_step_requests_total", each) for each in labels)
    return {
        "requests": RequestStats(total=sum(outcomes.values()), per_second=rate, outcomes=outcomes),
        "sessions": SessionStats(
            opened=_only(facts, "cellar_sessions_opened_total"),
            expired=_only(facts, "cellar_sessions_expired_total"),
            cached=_only(facts, "cellar_sessions_cached"),
            cache_bytes=_only(facts, "cellar_session_cache_bytes"),
        ),
        "traffic": TrafficStats(
            websockets=_only(facts, "cellar_websockets"),
            event_streams=_only(facts, "cellar_event_subscribers"),
            requests_waiting=_only(facts, "cellar_requests_waiting"),
        ),
        "processes": [
            ProcessStats(
                name=each.process, pid=each.pid, started=time_of(each.started_s), memory_bytes=each.memory_bytes
            )
            for each in facts.snapshots
            if each.is_alive
        ],
    }


def _model(facts: ServiceFacts, key: Labels) -> ModelStats:
    tenant, model = key
    series = facts.series
    return ModelStats(
        tenant=tenant,
        model=model,
        requests=_whole(series["cellar_model_requests_total"].get(key, 0)),
        steps=_whole(series["cellar_model_steps_total"][key]),
        steps_per_second=facts.change.rate("cellar_model_steps_total", key),
    )


def _quantiles(facts: ServiceFacts, name: str) -> Quantiles | None:
    found = facts.change.quantiles(name, SHARES)
    if found is None:
        return None
    p50, p90, p99 = [1000 * seconds for seconds in found]
    return Quantiles(p50=p50, p90=p90, p99=p99)


def _jobs(jobs: Sequence[UnendedJob], now_s: float) -> JobStats:
    queued = [job.created_s for job in jobs if job.state == "queued"]
    oldest_s = max(0.0, now_s - min(queued)) if queued else None
    return JobStats(queued=len(queued), running=len(jobs) - len(queued), oldest_queued_s=oldest_s)


def _only(facts: ServiceFacts, name: str) -> int:
    return _whole(facts.series.get(name, {}).get((), 0))


def _whole(value: Value) -> int:
    assert not isinstance(value, tuple)
    return int(value)
