"""The table of all metrics: name, kind, labels, meaning, and where their values come from.

`docs/reference/metrics.md` is generated from it. A name ends in its unit (`_seconds`, `_bytes`), and that
of a counter in `_total`, as Prometheus recommends.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cellar.metrics.counts import Histogram, ProcessCounts

Kind = Literal["counter", "gauge", "histogram"]

Labels = tuple[str, ...]
"""The values of the labels of a series, in the order of the metric's labels."""

Value = float | tuple[float, ...]
"""A number; of a histogram the sum of its values, and then the number of values in each bucket."""

Samples = Mapping[Labels, Value]
Read = Callable[[ProcessCounts], Samples]


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table."""

    name: str
    kind: Kind
    text: str
    """Its meaning."""
    labels: tuple[str, ...] = ()
    read: Read | None = None
    """Returns its values from the counts of a process; None if it is a gauge."""
    bounds: tuple[float, ...] = ()
    """The upper bounds of the buckets of a histogram."""
    is_summed: bool = True
    """Whether it is the sum over all processes; else it is of each process, or of the service."""


COUNTS = ProcessCounts()
"""Only for the bounds of the histograms."""


def _number(name: str) -> Read:
    """Return the function that reads an attribute."""
    return lambda counts: {(): getattr(counts, name)}


def _histogram(name: str, attribute: str, text: str) -> Metric:
    def read(counts: ProcessCounts) -> Samples:
        """Return the histogram."""
        found: Histogram = getattr(counts, attribute)
        return {(): (found.sum, *found.counts)}

    bounds: tuple[float, ...] = getattr(COUNTS, attribute).bounds
    return Metric(name, "histogram", text, read=read, bounds=bounds)


def _fact(name: str, text: str, *labels: str) -> Metric:
    """Return a gauge that is not a sum over the processes."""
    return Metric(name, "gauge", text, labels, is_summed=False)


OUTCOMES = ("committed", "replayed", "conflict", "refused", "unavailable", "failed")


def _requests(counts: ProcessCounts) -> Iterator[tuple[Labels, float]]:
    for transport, found in counts.transports.items():
        for outcome in OUTCOMES:
            yield (transport, outcome), getattr(found, outcome)


def _steps(counts: ProcessCounts) -> Iterator[tuple[Labels, float]]:
    for transport, found in counts.transports.items():
        yield (transport, "committed"), found.committed_steps
        yield (transport, "replayed"), found.replayed_steps


METRICS: tuple[Metric, ...] = (
    Metric(
        "cellar_step_requests_total",
        "counter",
        "Requests for steps by their transport and outcome. A line or record of a bulk request, and a message or record"
        " on a WebSocket, is a request.",
        ("transport", "outcome"),
        lambda counts: dict(_requests(counts)),
    ),
    Metric(
        "cellar_steps_total",
        "counter",
        "Time steps that were answered; a sequence has many. Those of a replay were committed before.",
        ("transport", "outcome"),
        lambda counts: dict(_steps(counts)),
    ),
    Metric(
        "cellar_model_requests_total",
        "counter",
        "Committed requests for steps, by model. Of the models after the first 100 all names are `(other)`.",
        ("tenant", "model"),
        lambda counts: {key: found.requests for key, found in counts.models.items()},
    ),
    Metric(
        "cellar_model_steps_total",
        "counter",
        "Committed time steps, by model.",
        ("tenant", "model"),
        lambda counts: {key: found.steps for key, found in counts.models.items()},
    ),
    Metric(
        "cellar_problems_total",
        "counter",
        "Problem documents that were answered, by their type, on all routes.",
        ("type",),
        lambda counts: {(kind,): number for kind, number in counts.refusals.items()},
    ),
    Metric(
        "cellar_commit_conflicts_total",
        "counter",
        "Commits that failed because another process had changed the session; their requests ran again.",
        read=_number("commit_conflicts"),
    ),
    _histogram(
        "cellar_step_seconds", "total_s", "Time from the submission of a request for steps to the end of its commit."
    ),
    _histogram(
        "cellar_step_queue_seconds", "queue_s", "Part of it before the batch of the request was given to the kernel."
    ),
    _histogram("cellar_kernel_seconds", "kernel_s", "Time of a batch from its start to its commit."),
    _histogram("cellar_commit_seconds", "commit_s", "Time of a group of commits in Redis."),
    _histogram("cellar_batch_requests", "batch_requests", "Sessions whose requests were run and committed together."),
    Metric(
        "cellar_session_loads_total",
        "counter",
        "Sessions that were read from Redis, because they were not in the cache of the process.",
        read=_number("session_loads"),
    ),
    Metric("cellar_sessions_opened_total", "counter", "Sessions that were created.", read=_number("sessions_opened")),
    Metric(
        "cellar_sessions_expired_total",
        "counter",
        "Sessions whose lifetime was over.",
        read=_number("sessions_expired"),
    ),
    _histogram("cellar_kernel_compile_seconds", "compile_s", "Time of each compilation of kernels."),
    Metric(
        "cellar_kernels_read_total",
        "counter",
        "Kernels that were read from the kernel cache on the disk, and not compiled.",
        read=_number("kernels_read"),
    ),
    Metric("cellar_cpu_seconds_total", "counter", "Processor time of the api processes.", read=_number("cpu_s")),
    Metric("cellar_sessions_cached", "gauge", "Sessions that the api processes have in memory."),
    Metric("cellar_session_cache_bytes", "gauge", "Memory of these sessions, with their states."),
    Metric("cellar_models_loaded", "gauge", "Models in memory, counted in each api process."),
    Metric("cellar_model_cache_bytes", "gauge", "Memory of these models."),
    Metric("cellar_requests_waiting", "gauge", "Requests for changes of sessions that are not answered."),
    Metric("cellar_request_memory_bytes", "gauge", "Memory that requests hold."),
    Metric("cellar_websockets", "gauge", "Open WebSockets."),
    Metric("cellar_event_subscribers", "gauge", "Open event streams."),
    _fact("cellar_process_start_time_seconds", "When a process was started, Unix time.", "process"),
    _fact(
        "cellar_process_resident_memory_bytes",
        "Resident memory of a process; of a worker with the process of its job.",
        "process",
    ),
    _fact("cellar_redis_up", "1 if Redis can keep sessions now, else 0."),
    _fact(
        "cellar_redis_info",
        "1, with version, durability (the fsync policy of the append-only file) and eviction policy of Redis.",
        *("redis_version", "durability", "maxmemory_policy"),
    ),
    _fact("cellar_redis_primaries", "Redis primaries."),
    _fact("cellar_redis_replicas", "The smallest number of replicas of a primary."),
    _fact("cellar_redis_memory_bytes", "Memory that the fullest Redis primary uses."),
    _fact("cellar_redis_memory_limit_bytes", "The limit of its memory, 0 without one."),
    _fact("cellar_jobs", "Training jobs of all tenants that are queued or running.", "state"),
    Metric(
        "cellar_jobs_ended_total",
        "counter",
        "Training jobs of all tenants that have ended, by their state, since the installation was new.",
        ("outcome",),
        is_summed=False,
    ),
    _fact("cellar_job_queue_age_seconds", "Age of the oldest queued job, 0 without one."),
    _fact("cellar_build_info", "1, with the version of Cellar and the form of its code.", "version", "build"),
)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
