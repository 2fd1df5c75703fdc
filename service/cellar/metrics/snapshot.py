"""Snapshots of the counts of a process, and their sum over the processes of a service."""

import marshal
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import process_time

from cellar.machine import children_of, resident_bytes
from cellar.metrics.catalogue import BY_NAME, METRICS, Labels, Metric, Samples, Value
from cellar.metrics.counts import ProcessCounts

Series = dict[str, dict[Labels, Value]]
"""The series of metrics, by the names of the metrics."""

Gauges = Callable[[], Mapping[str, float]]
"""Returns the gauges of a process that have no labels."""


@dataclass(slots=True)
class Snapshot:
    """The metrics of one process at one time."""

    process: str
    """Its name: `api 0`, `worker`."""
    pid: int
    started_s: float
    """When the process was started, seconds since the Unix epoch."""
    own_memory_bytes: int | None
    """Its resident memory; None of a process that does not publish it, such as a worker."""
    counters: Series = field(default_factory=dict)
    """Counters and histograms, with those of the earlier processes of the same region."""
    gauges: dict[str, float] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the snapshot for other processes of the service."""
        parts = (self.process, self.pid, self.started_s, self.own_memory_bytes, self.counters, self.gauges)
        return marshal.dumps(parts)

    @classmethod
    def of(cls, data: bytes) -> "Snapshot":
        """Return the snapshot of these bytes, which a process of the service has written."""
        return cls(*marshal.loads(data))  # noqa: S302  # in memory that only processes of this service have

    @property
    def memory_bytes(self) -> int:
        """Its resident memory, bytes; of a worker with the processes that it has started."""
        if self.own_memory_bytes is not None:
            return self.own_memory_bytes
        return sum(resident_bytes(str(pid)) for pid in (self.pid, *children_of(self.pid)))

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True


def counters_of(counts: ProcessCounts) -> Series:
    """Return the counters and histograms of a process."""
    counts.cpu_s = process_time()
    return {metric.name: dict(metric.read(counts)) for metric in METRICS if metric.read is not None}


def add(total: Series, more: Mapping[str, Samples]) -> None:
    """Add counters and histograms to a sum. What an older version of Cellar has counted otherwise is left out."""
    for name, samples in more.items():
        metric = BY_NAME.get(name)
        if metric is None or metric.kind == "gauge":
            continue
        into = total.setdefault(name, {})
        for labels, value in samples.items():
            if _fits(metric, labels, value):
                into[labels] = _sum(into.get(labels), value)


def _fits(metric: Metric, labels: Labels, value: Value) -> bool:
    buckets = len(metric.bounds) + 2 if metric.kind == "histogram" else None
    return len(labels) == len(metric.labels) and buckets == (len(value) if isinstance(value, tuple) else None)


def _sum(one: Value | None, other: Value) -> Value:
    if one is None:
        return other
    if isinstance(one, tuple):
        assert isinstance(other, tuple)
        return tuple([a + b for a, b in zip(one, other, strict=True)])
    assert not isinstance(other, tuple)
    return one + other


def merged(snapshots: Iterable[Snapshot]) -> Series:
    """Return the metrics of a service: counters of all processes that ever ran, gauges of those that run now."""
    total: Series = {}
    for snapshot in snapshots:
        add(total, snapshot.counters)
        if not snapshot.is_alive:
            continue
        for name, number in snapshot.gauges.items():
            into = total.setdefault(name, {})
            into[()] = _sum(into.get(()), number)
        own = (snapshot.process,)
        total.setdefault("cellar_process_start_time_seconds", {})[own] = snapshot.started_s
        total.setdefault("cellar_process_resident_memory_bytes", {})[own] = snapshot.memory_bytes
    return total
