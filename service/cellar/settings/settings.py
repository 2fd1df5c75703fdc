"""All settings of the service, read once from the environment variables `CELLAR_*`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from cellar.errors import SettingsInvalid
from cellar.settings.access import AccessSettings
from cellar.settings.datasets import DatasetSettings
from cellar.settings.jobs import JobSettings
from cellar.settings.log import LogSettings
from cellar.settings.quotas import QuotaSettings
from cellar.settings.values import (
    CLUSTER_URL,
    DAY_S,
    DIVIDED,
    MEBIBYTE,
    REDIS_URL,
    default_cache_dir,
    default_data_dir,
)


class Settings(DatasetSettings, JobSettings, LogSettings, QuotaSettings, AccessSettings):
    """The settings with their units and defaults. `Settings.load()` reads the environment."""

    redis_url: str | None = Field(
        None,
        pattern=REDIS_URL,
        description="URL of the Redis that stores everything: redis://, rediss://, unix://, redis+cluster://"
        " or redis+sentinel://. Unset: a private Redis is started.",
    )
    queue_url: str | None = Field(
        None,
        pattern=REDIS_URL,
        description="URL of the Redis for the job queue: any form except a cluster. Default: CELLAR_REDIS_URL.",
    )
    durability: Literal["standard", "relaxed", "strict"] = Field(
        "standard",
        description="When a step is answered. standard: when Redis has written it as it is configured; the private"
        " Redis writes it to disk first. relaxed: the private Redis writes to its disk once a second instead."
        " strict: when replicas have the step too, otherwise the answer is 503 `applied_not_durable`."
        " Default: standard.",
    )
    strict_replicas: int = Field(
        1, ge=1, le=16, description="Number of replicas that must have a step when durability is strict. Default: 1."
    )
    strict_wait_s: float = Field(1, gt=0, le=3, description="Longest wait for these replicas, seconds. Default: 1.")
    key_prefix: str = Field(
        "cellar", pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="First part of every Redis key. Default: cellar."
    )

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Directory for the data of the private Redis. Default: $XDG_DATA_HOME/cellar.",
    )
    runtime_dir: Path | None = Field(
        None,
        description="Directory for the sockets of the private Redis and of the api processes. Default: a short path,"
        " different for each data directory.",
    )
    redis_max_memory_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory limit of the private Redis, bytes; above it, writes are answered 503. 0: no limit."
        " Default: half the memory of the machine or of its control group.",
    )
    cache_dir: Path = Field(
        default_factory=default_cache_dir,
        description="Directory for compiled kernels. Default: $XDG_CACHE_HOME/cellar/kernels.",
    )
    warm_dir: Path | None = Field(
        None, description="Directory with kernels compiled by `cellar warm`, which is only read. Default: none."
    )
    blob_dir: Path | None = Field(
        None,
        description="Directory for weights, datasets and checkpoints; every api and worker must mount it."
        " Unset: they are stored in Redis.",
    )

    max_body_bytes: int = Field(16 * MEBIBYTE, ge=1024, description="Largest request body, bytes. Default: 16 MiB.")
    max_weights_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1024,
        description="Largest file with weights, bytes. It is written to a file in CELLAR_DATA_DIR/tmp while it"
        " comes; four of this size may be there at a time. Default: 256 MiB.",
    )
    max_sequence_steps: int = Field(65536, ge=1, description="Most steps in one sequence. Default: 65536.")
    max_batch_size: int = Field(4096, ge=1, description="Most rows of a session. Default: 4096.")
    max_numbers: int = Field(
        4 * MEBIBYTE,
        ge=1,
        description="Most numbers in the state of a session, and in an answer (steps x rows x outputs)."
        " Default: 4194304.",
    )
    max_forecast_steps: int = Field(
        1_000_000,
        ge=1,
        description="Most steps of a forecast or a backtest: rows x paths x steps ahead, or rows of data x steps ahead."
        " Default: 1000000.",
    )
    model_cache_bytes: int = Field(
        512 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Memory for loaded models, bytes, which the api processes divide. The least recently used models"
        " are dropped and loaded again when needed, in milliseconds. Default: 512 MiB.",
    )
    cache_bytes: int | None = Field(
        None,
        ge=MEBIBYTE,
        description="Memory for sessions in the api, bytes, which its processes share. The least recently used"
        " sessions are dropped, and read from Redis again when needed. Default: an eighth of the memory of the"
        " machine or of its control group.",
    )
    default_ttl_s: int = Field(
        30 * DAY_S,
        ge=1,
        description="Lifetime of a session after its last change, if it was created without `ttl_s`, seconds."
        " Default: 30 days.",
    )
    accept_revisions: bool = Field(
        False,
        description="Whether a session with another revision of the arithmetic changes to this service's"
        " revision at its next step. Default: false, the step is refused.",
    )
    replay_window: int = Field(
        32,
        ge=1,
        le=1024,
        description="Number of requests of a session whose answers can be repeated. Must be the same in all"
        " processes that share a Redis. Default: 32.",
    )
    replay_output_bytes: int = Field(
        4096, ge=0, description="Largest output that is kept to be repeated, bytes. Default: 4096."
    )
    state_every: int = Field(
        1,
        ge=1,
        le=1024,
        description="Steps of a session after which a commit stores the whole state; commits in between store inputs if"
        " these are much smaller ([stored data](stored-data.md#inputs-in-place-of-states)). Default: 1, every commit"
        " stores the state.",
    )
    idempotency_ttl_s: int = Field(
        DAY_S,
        ge=1,
        description="How long an Idempotency-Key is remembered, seconds: the answers of the last 64 of a session, and"
        " of some 2,000 before that they were used. Default: 1 day.",
    )
    tombstone_ttl_s: int = Field(
        DAY_S, ge=1, description="How long an expired session is answered 410 instead of 404, seconds. Default: 1 day."
    )
    max_snapshots: int = Field(16, ge=1, le=1024, description="Most snapshots of a session. Default: 16.")
    max_fork_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1,
        description="Most bytes that the states of all children of one fork may have. Default: 256 MiB.",
    )
    queue_limit: int = Field(
        4096,
        ge=1,
        description="Most requests that may wait for the engine; further ones are answered 503. Default: 4096.",
    )
    queue_wait_s: float = Field(
        0.5,
        gt=0,
        description="Longest estimated time for all waiting requests, seconds; further ones are answered 503."
        " Default: 0.5.",
    )

    max_connections: int = Field(
        16384,
        ge=1,
        description="Most connections at the same time. The limit of open files of the process applies too."
        " Default: 16384.",
    )
    max_streams: int = Field(8192, ge=0, description="Most WebSockets at the same time. Default: 8192.")
    max_head_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest head of a request, including its URL, bytes. Default: 64 KiB."
    )
    head_timeout_s: float = Field(
        10, gt=0, description="Time within which the head of a request must arrive, seconds. Default: 10."
    )
    body_timeout_s: float = Field(
        20,
        gt=0,
        description="Interval over which clients must send a body, and read an answer, at 1 KiB a second or"
        " more, seconds. Default: 20.",
    )
    stream_idle_s: float = Field(
        300,
        gt=0,
        description="Longest pause in which a client sends no part of a streamed body, or reads no part of"
        " its answer or of events, seconds. Default: 300.",
    )

    max_unfinished_bytes: int | None = Field(
        None,
        ge=1024,
        description="Most memory for all requests that are not finished, bytes, which the api's processes divide:"
        " bodies and messages while they arrive, what is decoded from them, outputs, and unread answers; further"
        " ones are answered 503. Default: a sixteenth of the memory of the machine or of its control group, at least"
        " 256 MiB for each process.",
    )
    compile_queue: int = Field(
        32,
        ge=1,
        description="Most requests that may compile or wait for a compilation, which the api processes divide; further"
        " ones are answered 503. Default: 32.",
    )

    processes: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Number of api processes of `cellar serve`. Default: one for each processor, at most 4, and"
        " fewer if half of the memory is less than 512 MiB for each.",
    )
    worker: bool | None = Field(
        None, description="Whether to start a training worker with the service. Default: only with the private Redis."
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=64,
        description="Number of training workers that the service starts. Default: 1 or 0, as CELLAR_WORKER says.",
    )
    job_memory_bytes: int | None = Field(
        None,
        ge=256 * MEBIBYTE,
        description="Most memory that a training job may need, bytes; larger ones are refused. Default: a quarter of"
        " the memory of the machine or of its control group, divided by the number of workers.",
    )
    job_state_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Most bytes of the last checkpoints of succeeded jobs; the oldest are deleted first. 0: none is"
        " kept. Default: 256 MiB.",
    )
    drain_s: float = Field(
        20, ge=0, description="Longest time that a stopping service waits for running requests, seconds. Default: 20."
    )

    @model_validator(mode="after")
    def _paths_are_absolute(self) -> Self:
        for name in ("data_dir", "runtime_dir", "cache_dir", "warm_dir", "blob_dir", "dataset_dir"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_absolute():
                raise ValueError(f"CELLAR_{name.upper()} must be an absolute path, not {str(path)!r}")
        return self

    @model_validator(mode="after")
    def _queue_is_no_cluster(self) -> Self:
        if self.queue_url is not None and CLUSTER_URL.match(self.queue_url):
            raise ValueError("CELLAR_QUEUE_URL names a cluster; the job queue needs one server or Sentinel")
        if self.queue_url is None and self.redis_url is not None and CLUSTER_URL.match(self.redis_url):
            raise ValueError(
                "CELLAR_REDIS_URL names a cluster, which cannot carry the job queue:"
                " set CELLAR_QUEUE_URL to one server (redis://...) or to Sentinel (redis+sentinel://...)"
            )
        return self

    @model_validator(mode="after")
    def _replicas_can_be_had(self) -> Self:
        if self.durability == "strict" and self.redis_url is None:
            raise ValueError("CELLAR_DURABILITY=strict needs a Redis with replicas: CELLAR_REDIS_URL must name it")
        return self

    @classmethod
    def load(cls, **given: int) -> Self:
        """Read the environment; `given` settings replace what it has.

        Raise SettingsInvalid, which names the variable and the allowed values.
        """
        try:
            return cls(**given)  # type: ignore[arg-type]  # they are checked as those of the environment are
        except ValidationError as error:
            raise SettingsInvalid("; ".join(_explain(line) for line in error.errors())) from error

    @property
    def dataset_directory(self) -> Path | None:
        """The directory of datasets, None if they are kept in Redis."""
        beside_redis = self.data_dir / "datasets" if self.embedded else None
        return self.dataset_dir or self.blob_dir or beside_redis

    @property
    def embedded(self) -> bool:
        """Whether the service starts a private Redis."""
        return self.redis_url is None

    @property
    def local_workers(self) -> int:
        """The number of training workers that `cellar serve` starts."""
        if self.workers is not None:
            return self.workers
        return int(self.embedded if self.worker is None else self.worker)

    def divided(self, processes: int) -> Self:
        """Return the settings of one of this many api processes: each has its part of what is bounded for all."""
        if processes == 1:
            return self
        given = {name: getattr(self, name) for name in DIVIDED}
        parts = {name: max(1, most // processes) for name, most in given.items() if most}
        if self.max_unfinished_bytes:  # the largest body must have room in each: five times its size when it is decoded
            body = min(6 * self.max_body_bytes, self.max_unfinished_bytes)
            parts["max_unfinished_bytes"] = max(parts["max_unfinished_bytes"], body)
        return self.model_copy(update=parts)


def _explain(line: object) -> str:
    assert isinstance(line, dict)
    name = "".join(str(part) for part in line["loc"][:1]).upper()
    reason = str(line["msg"]).removeprefix("Value error, ")
    if not name:
        return reason
    given = "" if name.endswith("_URL") else f"={line['input']!r}"  # a URL may hold a password
    return f"CELLAR_{name}{given}: {reason}"
