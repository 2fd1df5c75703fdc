"""Every setting of the service: one frozen model, read once from the environment (`CELLAR_*`)."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cellar.errors import SettingsInvalid

MEBIBYTE = 1024 * 1024
DAY_S = 24 * 60 * 60
REDIS_URL = r"^(rediss?(\+(cluster|sentinel))?|unix)://"
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]+")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+")
CLUSTER_URL = re.compile(r"rediss?\+cluster://")


def _xdg(variable: str, fallback: str) -> Path:
    """Return a base directory of the XDG specification, which ignores relative paths."""
    value = Path(os.environ.get(variable, ""))
    return value if value.is_absolute() else Path.home() / fallback


def _data_dir() -> Path:
    return _xdg("XDG_DATA_HOME", ".local/share") / "cellar"


def _cache_dir() -> Path:
    return _xdg("XDG_CACHE_HOME", ".cache") / "cellar" / "kernels"


def _listed(value: object) -> object:
    """Return what stands between the commas of a variable."""
    if not isinstance(value, str):
        return value
    return tuple(part for part in (part.strip() for part in value.split(",")) if part)


class Settings(BaseSettings):
    """What can be set, with unit and default. `Settings.load()` reads the environment."""

    model_config = SettingsConfigDict(env_prefix="CELLAR_", env_ignore_empty=True, frozen=True, extra="ignore")

    redis_url: str | None = Field(
        None,
        pattern=REDIS_URL,
        description="Redis that keeps everything: redis://, rediss:// or unix://, or redis+cluster:// or redis+sentinel://."
        " Unset: a private server is started.",
    )
    queue_url: str | None = Field(
        None,
        pattern=REDIS_URL,
        description="Redis that carries the job queue: any but a cluster. Default: the same as the store.",
    )
    durability: Literal["standard", "relaxed", "strict"] = Field(
        "standard",
        description="What an answered step survives. standard: what the Redis gives, a crash of the machine with the"
        " private one; relaxed: that writes to its disk once a second; strict: replicas have it too, else the answer is"
        " 503 `applied_not_durable`. Default: standard.",
    )
    strict_replicas: int = Field(
        1, ge=1, le=16, description="Replicas that must have a step where durability is strict. Default: 1."
    )
    strict_wait_s: float = Field(1, gt=0, le=3, description="How long they are waited for, seconds. Default: 1.")
    key_prefix: str = Field(
        "cellar", pattern=r"^[A-Za-z0-9._:-]{1,64}$", description="First part of every Redis key. Default: cellar."
    )

    host: str = Field("127.0.0.1", description="Address to listen on. Default: 127.0.0.1, this machine only.")
    port: int = Field(8080, ge=0, le=65535, description="TCP port to listen on; 0 takes a free one. Default: 8080.")

    allowed_hosts: Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_listed)] = Field(
        None,
        description="Names by which the service may be called (the Host of a request, without the port), with commas"
        " between them, beside those of the machine itself; * are all. Default: none where it listens on this machine"
        " only, elsewhere all.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = Field(
        (),
        description="Web pages of other sites that may use the service, as browsers say it in Origin"
        " (https://app.example.com), with commas between them; * are all. Default: none.",
    )

    data_dir: Path = Field(
        default_factory=_data_dir, description="Data of the private Redis. Default: $XDG_DATA_HOME/cellar."
    )
    runtime_dir: Path | None = Field(
        None, description="Directory for the private Redis' socket. Default: a short one for the data directory."
    )
    redis_max_memory_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory of the private Redis, beyond which writes are answered 503, bytes; 0: as much as there is."
        " Default: half of what the machine, or its control group, has.",
    )
    cache_dir: Path = Field(
        default_factory=_cache_dir, description="Compiled kernels. Default: $XDG_CACHE_HOME/cellar/kernels."
    )
    warm_dir: Path | None = Field(
        None, description="Kernels that `cellar warm` compiled beforehand, read only. Unset: there are none."
    )
    blob_dir: Path | None = Field(
        None, description="Directory for blobs that every api and worker mounts. Unset: blobs are kept in Redis."
    )

    max_body_bytes: int = Field(16 * MEBIBYTE, ge=1024, description="Largest request body, bytes. Default: 16 MiB.")
    max_sequence_steps: int = Field(65536, ge=1, description="Most steps in one sequence, steps. Default: 65536.")
    max_batch_size: int = Field(4096, ge=1, description="Most rows in one session, rows. Default: 4096.")
    max_numbers: int = Field(
        4 * MEBIBYTE,
        ge=1,
        description="Most numbers in a session's state, and in an answer (steps x rows x outputs). Default: 4194304.",
    )
    model_cache_bytes: int = Field(
        512 * MEBIBYTE,
        ge=MEBIBYTE,
        description="Most memory for loaded models, those used last, in each process; one that is loaded again costs"
        " milliseconds, bytes. Default: 512 MiB.",
    )
    default_ttl_s: int = Field(
        30 * DAY_S, ge=1, description="Lifetime of an idle session that asks for none, seconds. Default: 30 days."
    )
    accept_revisions: bool = Field(
        False,
        description="Whether a session of another revision of the arithmetic takes this service's at its next step."
        " Default: false, it is refused.",
    )
    replay_window: int = Field(
        32,
        ge=1,
        le=1024,
        description="Requests of a session whose reply can be replayed, requests; the same in all processes of one"
        " Redis. Default: 32.",
    )
    replay_output_bytes: int = Field(4096, ge=0, description="Largest output kept for a replay, bytes. Default: 4096.")
    idempotency_ttl_s: int = Field(
        DAY_S, ge=1, description="How long an Idempotency-Key is remembered, seconds. Default: 1 day."
    )
    tombstone_ttl_s: int = Field(
        DAY_S, ge=1, description="How long an expired session answers 410 and not 404, seconds. Default: 1 day."
    )
    max_snapshots: int = Field(16, ge=1, le=1024, description="Most snapshots of a session. Default: 16.")
    max_fork_bytes: int = Field(
        256 * MEBIBYTE, ge=1, description="Most state that the children of one fork may have, bytes. Default: 256 MiB."
    )
    queue_limit: int = Field(
        4096, ge=1, description="Requests that may wait for the engine before 503, requests. Default: 4096."
    )
    queue_wait_s: float = Field(
        0.5,
        gt=0,
        description="How long the requests that wait may take to be answered before more get 503, seconds. "
        "Default: 0.5.",
    )

    max_connections: int = Field(
        16384,
        ge=1,
        description="Most connections at a time; the open files of the process bound them too. Default: 16384.",
    )
    max_streams: int = Field(8192, ge=0, description="Most WebSockets at a time. Default: 8192.")
    max_head_bytes: int = Field(
        64 * 1024, ge=1024, description="Largest head of a request, with its URL, bytes. Default: 64 KiB."
    )
    head_timeout_s: float = Field(
        10, gt=0, description="How long the head of a request may take to come, seconds. Default: 10."
    )
    body_timeout_s: float = Field(
        20,
        gt=0,
        description="Over this time a body must come, and an answer be taken, at 1 KiB a second at least, seconds."
        " Default: 20.",
    )
    stream_idle_s: float = Field(
        300,
        gt=0,
        description="How long nothing may come of a body that is read part by part, or be taken of its answer or of"
        " events, seconds. Default: 300.",
    )

    max_unfinished_bytes: int = Field(
        256 * MEBIBYTE,
        ge=1024,
        description="Most that all bodies and messages that are not all there, and answers that are not taken, may"
        " hold, bytes; more get 503. Default: 256 MiB.",
    )
    compile_queue: int = Field(
        32, ge=1, description="Requests that may compile or wait for it before 503, requests. Default: 32."
    )

    worker: bool | None = Field(
        None, description="Start a training worker beside the service. Default: only with the private Redis."
    )
    job_lease_s: float = Field(
        5, gt=0, le=60, description="Silence after which a training attempt counts as dead, seconds. Default: 5."
    )
    job_sweep_s: float = Field(
        1, gt=0, le=60, description="How often jobs that nobody holds are looked for, seconds. Default: 1."
    )
    drain_s: float = Field(
        20, ge=0, description="How long a stopping service waits for running requests, seconds. Default: 20."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level logged. Default: info."
    )
    log_json: bool = Field(False, description="Log JSON lines and not text. Default: false.")

    @model_validator(mode="after")
    def _paths_are_absolute(self) -> Self:
        for name in ("data_dir", "runtime_dir", "cache_dir", "warm_dir", "blob_dir"):
            path: Path | None = getattr(self, name)
            if path is not None and not path.is_absolute():
                raise ValueError(f"CELLAR_{name.upper()} must be an absolute path, not {str(path)!r}")
        return self

    @model_validator(mode="after")
    def _names_have_their_form(self) -> Self:
        for host in self.allowed_hosts or ():
            if host != "*" and not HOST.fullmatch(host):
                raise ValueError(
                    f"CELLAR_ALLOWED_HOSTS must hold names without ports (cellar.example.com), not {host!r}"
                )
        for origin in self.allowed_origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(
                    "CELLAR_ALLOWED_ORIGINS must hold origins as browsers say them (https://app.example.com), without"
                    f" a path, not {origin!r}"
                )
        return self

    @model_validator(mode="after")
    def _queue_is_no_cluster(self) -> Self:
        if self.queue_url is not None and CLUSTER_URL.match(self.queue_url):
            raise ValueError("CELLAR_QUEUE_URL names a cluster, and the job queue needs one server or Sentinel")
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
    def load(cls) -> Self:
        """Read the environment. Raise SettingsInvalid naming the variable and what it should be."""
        try:
            return cls()
        except ValidationError as error:
            raise SettingsInvalid("; ".join(_explain(line) for line in error.errors())) from error

    @property
    def embedded(self) -> bool:
        """Whether the service runs on a private Redis."""
        return self.redis_url is None

    @property
    def local_worker(self) -> bool:
        """Whether `cellar serve` starts a training worker."""
        return self.embedded if self.worker is None else self.worker


def _explain(line: object) -> str:
    assert isinstance(line, dict)
    name = "".join(str(part) for part in line["loc"][:1]).upper()
    reason = str(line["msg"]).removeprefix("Value error, ")
    if not name:
        return reason
    given = "" if name.endswith("_URL") else f"={line['input']!r}"  # a URL may hold a password
    return f"CELLAR_{name}{given}: {reason}"
