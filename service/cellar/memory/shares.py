"""How the memory of the machine or its control group is divided, where no setting says otherwise."""

from cellar.machine import memory_bytes
from cellar.memory.request_memory import LEAST_MEMORY_BYTES

CACHE_SHARE = 8
"""The reciprocal of the share of memory for sessions: Redis has up to a half, models some hundred MiB."""

REQUESTS_SHARE = 16
"""The reciprocal of the share of memory for requests."""

JOBS_SHARE = 4
"""The reciprocal of the share of memory for training jobs."""

SERIES_SHARE = 8
"""The reciprocal of the share of memory for the ids of the series of a file that is read."""

LEAST_JOB_BYTES = 512 * 1024 * 1024
"""The memory that a job may need on every machine: a small one needs half of it."""


def cache_bytes(processes: int) -> int:
    """Return the memory for sessions of one of the processes of the api."""
    return memory_bytes() // CACHE_SHARE // processes


def request_bytes(processes: int) -> int:
    """Return the memory for requests of one of the processes of the api."""
    return max(LEAST_MEMORY_BYTES, memory_bytes() // REQUESTS_SHARE // processes)


def job_bytes(workers: int) -> int:
    """Return the memory that a training job may need beside this number of workers."""
    return max(LEAST_JOB_BYTES, memory_bytes() // JOBS_SHARE // max(1, workers))


def series_bytes() -> int:
    """Return the memory that the ids of the series of a file may take while it is read."""
    return memory_bytes() // SERIES_SHARE
