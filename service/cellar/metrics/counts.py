"""The counts of this process: plain integers, which the code that counts changes without a lock.

Steps change attributes and list items directly, because a call for each count would cost more than the count. A process
has one instance, `COUNTS`. `cellar.metrics.catalogue` has the names under which the counts are published.
"""

from bisect import bisect_left
from typing import Final

SECONDS: tuple[float, ...] = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
"""Upper bounds of the buckets of latencies, seconds."""

LONG_SECONDS: tuple[float, ...] = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of compilations, seconds."""

SIZES: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Upper bounds of the buckets of batches, requests."""

TRANSPORTS: tuple[str, ...] = (
    *("fast_json", "fast_npy", "http_json", "http_npy", "websocket", "websocket_frames"),
    *("bulk_lines", "bulk_frames", "long_sequence"),
)
"""The ways on which steps arrive: HTTP with and without the fast path, WebSockets, bulk requests, long sequences."""

MOST_MODELS: Final = 100
"""The most models with counts of their own; steps of further ones are counted together."""

OTHERS: Final = "(other)"
"""Stands in place of the names of further tenants and models, and is no name itself."""


WATCHED: tuple[str, ...] = ("internal_error", "regressed")
"""Types of problems whose counts begin with 0: of one that began with 1, Prometheus would see no increase."""


class Histogram:
    """Counts of values between bounds, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """The values up to each bound and above the one before it; the last count is of those above all bounds."""
        self.sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class TransportCounts:
    """The requests for steps that came over one transport, by their outcome, and their steps."""

    def __init__(self) -> None:
        self.committed = 0
        self.replayed = 0
        self.conflict = 0
        self.refused = 0
        self.unavailable = 0
        self.failed = 0
        self.committed_steps = 0
        self.replayed_steps = 0


class ModelCounts:
    """The committed requests and steps of one model."""

    def __init__(self) -> None:
        self.requests = 0
        self.steps = 0


class ProcessCounts:
    """All counts of a process since its start."""

    def __init__(self) -> None:
        self.transports = {name: TransportCounts() for name in TRANSPORTS}
        self.models: dict[tuple[str, str], ModelCounts] = {}
        """By tenant and name of the model."""
        self.refusals: dict[str, int] = dict.fromkeys(WATCHED, 0)
        """Problem documents by their type."""
        self.queue_s = Histogram(SECONDS)
        self.kernel_s = Histogram(SECONDS)
        self.commit_s = Histogram(SECONDS)
        self.total_s = Histogram(SECONDS)
        self.batch_requests = Histogram(SIZES)
        self.compile_s = Histogram(LONG_SECONDS)
        self.commit_conflicts = 0
        self.session_loads = 0
        self.sessions_opened = 0
        self.sessions_expired = 0
        self.kernels_read = 0
        self.cpu_s = 0.0
        """Processor time, read with each snapshot."""

    def refuse(self, kind: str) -> None:
        """Count a problem document of this type."""
        self.refusals[kind] = self.refusals.get(kind, 0) + 1

    def model(self, tenant: str, ref: str) -> ModelCounts:
        """Return the counts of a model, `name` or `name@3`, or those of all further ones."""
        key = tenant, ref.partition("@")[0]
        found = self.models.get(key)
        if found is None:
            if len(self.models) >= MOST_MODELS:
                key = OTHERS, OTHERS
                found = self.models.get(key)
            if found is None:
                found = self.models[key] = ModelCounts()
        return found


COUNTS: Final = ProcessCounts()
"""The counts of this process."""
