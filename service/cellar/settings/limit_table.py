"""The quotas: what each tenant, and all tenants together, may use. Settings, errors, answers and docs follow it.

Each quota has two settings, `tenant_<name>` and, if it has one for all tenants, that of `of_all`. Both are unset by
default: then nothing is counted for them.
"""

from typing import NamedTuple


class Quota(NamedTuple):
    """A quantity that is limited."""

    name: str
    most: str
    """The limit in words, as the beginning of a sentence."""
    unit: str
    of_all: str
    """The setting of the limit of all tenants together, which is that of the machine."""
    counted: str
    """How the use is counted."""
    retry_after_s: int = 1
    """Seconds after which a refused request may succeed; rates are computed instead."""

    @property
    def of_tenant(self) -> str:
        """The setting of the limit of each tenant."""
        return f"tenant_{self.name}"


HERE = "exact in a process; the others of the fleet are seen within half a second"
STORED = "read from Redis, at most once a second until it is nearly used up"

QUOTAS: dict[str, Quota] = {
    quota.name: quota
    for quota in (
        Quota("steps_per_second", "Most steps a second", "steps/s", "max_steps_per_second", HERE),
        Quota("steps_in_flight", "Most steps that are not answered yet", "steps in flight", "queue_limit", HERE),
        Quota("streams", "Most WebSockets", "WebSockets", "max_streams", HERE),
        Quota("connections", "Most HTTP connections", "connections", "max_connections", HERE),
        Quota("sessions", "Most sessions", "sessions", "max_sessions", STORED, 5),
        Quota(
            "state_bytes",
            "Most bytes of the states of all sessions",
            "bytes of states",
            "max_state_bytes",
            f"{STORED}; with more than 2,048 sessions estimated from a sample",
            5,
        ),
        Quota("models", "Most models", "models", "max_models", STORED, 60),
        Quota(
            "parameters",
            "Most parameters of one model",
            "parameters in one model",
            "max_parameters",
            "of each model",
            60,
        ),
        Quota(
            "compilations_per_hour",
            "Most networks compiled in an hour",
            "networks/h",
            "max_compilations_per_hour",
            HERE,
        ),
        Quota("jobs", "Most training jobs that have not ended", "unfinished jobs", "max_jobs", STORED, 10),
        Quota(
            "dataset_bytes",
            "Most bytes of datasets, stored ones, and those of sweeps and training jobs while they are kept",
            "bytes of datasets",
            "max_dataset_bytes",
            STORED,
            10,
        ),
    )
}
"""By name."""

RATES = {"steps_per_second": 1.0, "compilations_per_hour": 3600.0}
"""Quotas that are rates, with their time in seconds. As much may be used at once as in that time."""

MACHINE: dict[str, tuple[str, str]] = {
    "max_connections": ("connections at a time", "503 overloaded"),
    "max_streams": ("WebSockets at a time", "503 overloaded"),
    "queue_limit": ("steps that are not answered yet", "503 overloaded"),
    "queue_wait_s": ("seconds that the waiting steps take", "503 overloaded"),
    "compile_queue": ("requests that compile or wait", "503 overloaded"),
    "max_unfinished_bytes": ("bytes of all unfinished requests", "503 overloaded"),
    "max_head_bytes": ("bytes of a head", "431 head_too_large"),
    "head_timeout_s": ("seconds to send a head", "408 request_timeout"),
    "max_body_bytes": ("bytes of a body", "413 body_too_large"),
    "body_timeout_s": ("seconds in which a body must come on", "408 request_timeout"),
    "stream_idle_s": ("seconds of a pause in a body that is read in parts", "408 request_timeout"),
    "max_weights_bytes": ("bytes of a file with weights", "413 body_too_large"),
    "max_upload_bytes": ("bytes of a file of readings", "413 body_too_large"),
    "max_sequence_steps": ("steps of a sequence", "422 shape_mismatch"),
    "max_batch_size": ("rows of a session", "422 invalid_input"),
    "max_numbers": ("numbers of a state or an answer", "422 invalid_input"),
    "max_snapshots": ("snapshots of a session", "409 snapshots_full"),
    "max_fork_bytes": ("bytes of the states of a fork", "422 fork_too_large"),
    "job_memory_bytes": ("bytes of memory of a training job", "422 job_too_large"),
}
"""The other limits of one process or request: by setting, what they limit and what is answered."""


def variable(setting: str) -> str:
    """Return the environment variable of a setting.

    >>> variable("max_sessions")
    'CELLAR_MAX_SESSIONS'
    """
    return f"CELLAR_{setting.upper()}"
