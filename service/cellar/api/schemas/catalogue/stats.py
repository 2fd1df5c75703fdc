"""The answer of `/v1/stats`."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from cellar.api.schemas.names import Answer


class StepStats(Answer):
    """Committed steps."""

    total: int = Field(description="Since the service was started.")
    per_second: float = Field(description="In the last minute.")


class RequestStats(Answer):
    """Requests for steps, of all transports."""

    total: int = Field(description="Since the service was started.")
    per_second: float = Field(description="In the last minute.")
    outcomes: dict[str, int] = Field(
        description="Numbers by outcome: committed, replayed, conflict, refused, unavailable, failed."
    )


class Quantiles(Answer):
    """Latencies of the last minute, milliseconds."""

    p50: float
    p90: float
    p99: float


class LatencyStats(Answer):
    """Latencies by part; null if nothing was measured in the last minute."""

    step: Quantiles | None = Field(description="From the submission of a request to the end of its commit.")
    queue: Quantiles | None = Field(description="Until its batch was given to the kernel.")
    kernel: Quantiles | None = Field(description="Of a batch, from its start to its commit.")
    commit: Quantiles | None = Field(description="Of a group of commits in Redis.")


class ModelStats(Answer):
    """The committed steps of a model."""

    tenant: str
    model: str = Field(description="The name; `(other)` for all models after the first 100.")
    requests: int
    steps: int
    steps_per_second: float = Field(description="In the last minute.")


class SessionStats(Answer):
    """Sessions of the service."""

    opened: int = Field(description="Since the service was started.")
    expired: int = Field(description="Since the service was started.")
    cached: int = Field(description="In the memory of the api processes.")
    cache_bytes: int = Field(description="Memory of those, with their states.")


class TrafficStats(Answer):
    """Open connections of clients, and requests that wait, now."""

    websockets: int
    event_streams: int
    requests_waiting: int


class ProcessStats(Answer):
    """A process of the service."""

    name: str = Field(description="`api 0`, `api 1` ..., `worker`.")
    pid: int
    started: datetime
    memory_bytes: int = Field(description="Resident memory; of a worker with the process of its job.")


class JobStats(Answer):
    """Training jobs that have not ended."""

    queued: int
    running: int
    oldest_queued_s: float | None = Field(description="Age of the oldest queued job; null if none is queued.")


class StoreStats(Answer):
    """The Redis of the service."""

    ready: bool = Field(description="Whether it can keep sessions now.")
    detail: str | None = Field(description="Why not; null if it can.")
    memory_bytes: int = Field(description="Memory that the fullest primary uses; 0 if it does not answer.")
    memory_limit_bytes: int = Field(description="The limit of its memory, 0 without one.")
    facts: dict[str, Any] = Field(
        description="As `store` of `/readyz`: version, durability, eviction policy, primaries and replicas."
    )


class StatsAnswer(Answer):
    """The state of the service. A member that is null is not shown to this key."""

    scope: Literal["service", "tenant"] = Field(
        description="`service`: everything. `tenant`: steps, models and jobs of the tenant of the key."
    )
    version: str
    build: Literal["compiled", "pure"]
    window_s: float = Field(description="The seconds that rates and latencies cover, up to 65.")
    store: StoreStats
    steps: StepStats
    latency_ms: LatencyStats = Field(description="Of the whole service.")
    models: list[ModelStats] = Field(description="The models with steps, the busiest in the last minute first.")
    jobs: JobStats | None = Field(description="Null also if Redis does not answer.")
    requests: RequestStats | None
    sessions: SessionStats | None
    traffic: TrafficStats | None
    processes: list[ProcessStats] | None
