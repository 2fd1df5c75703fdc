"""The job queue between the API and the workers: an rq queue of job names for each priority."""

import hashlib
import uuid
from typing import Protocol

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from cellar.errors import StoreUnavailable
from cellar.jobs.options import PRIORITIES, JobOptions, Priority
from cellar.ports import Job

RUN_JOB = "cellar.main.run_job"
"""The function that a worker calls with (tenant, job)."""

KEEP_FAILED_S = 3600
"""How long rq keeps a record of a call that failed, for people who use rq's tools, seconds."""


class AttemptQueue(Protocol):
    """Takes jobs that a worker is to run."""

    def push(self, job: Job) -> None:
        """Queue the next attempt of a job. Raise StoreUnavailable."""


class JobQueue:
    """Queued calls of `run_job`. Safe to call from several threads."""

    def __init__(self, connection: redis.Redis, queue: str) -> None:
        self.connection = connection
        self._of: dict[Priority, Queue] = {
            priority: Queue(
                queue_of(queue, priority), connection=connection, serializer=JSONSerializer, default_timeout=-1
            )
            for priority in PRIORITIES
        }
        self.queue = self._of["normal"]

    @property
    def queues(self) -> list[Queue]:
        """The queues in the order in which workers take their calls."""
        return list(self._of.values())

    def push(self, job: Job, *, first: bool = False) -> None:
        """Queue the next attempt of a job, perhaps before those that wait already. Raise StoreUnavailable."""
        try:
            self._queue(job).enqueue_call(
                RUN_JOB,
                args=(job.tenant, job.job),
                job_id=call_id(job),
                timeout=-1,
                result_ttl=0,
                failure_ttl=KEEP_FAILED_S,
                description=f"{job.tenant}/{job.job}",
                at_front=first,
            )
        except redis.RedisError as error:
            raise StoreUnavailable(f"the job queue cannot be reached: {error}", outcome="unknown") from error

    def waiting(self, job: Job) -> bool:
        """Return whether the call for the next attempt is in the queue. Raise StoreUnavailable."""
        try:
            return self._queue(job).get_job_position(call_id(job)) is not None
        except redis.RedisError as error:
            raise StoreUnavailable(f"the job queue cannot be reached: {error}") from error

    def _queue(self, job: Job) -> Queue:
        return self._of[JobOptions.of(job).priority]


def queue_of(queue: str, priority: Priority) -> str:
    """Return the name of the queue with the jobs of a priority.

    >>> queue_of("cellar.jobs", "normal"), queue_of("cellar.jobs", "low")
    ('cellar.jobs', 'cellar.jobs.low')
    """
    return queue if priority == "normal" else f"{queue}.{priority}"


def queue_name(prefix: str) -> str:
    """Return the name of the queue of the installation with a key prefix."""
    return f"{prefix}.jobs"


def call_id(job: Job) -> str:
    """Return rq's id of the call that begins the next attempt (letters, digits, `_` and `-`, but no `~` of a backtest).

    Each attempt has its own id, so that a superseded worker cannot remove the call of the next attempt.
    """
    return f"{job.job.replace('~', '_')}-{job.attempt + 1}"


def name_of(tenant: str, key: str | None) -> str:
    """Return the name of a new job, or that of the job of an Idempotency-Key."""
    return uuid.uuid4().hex if key is None else hashlib.sha256(f"{tenant}\n{key}".encode()).hexdigest()[:32]
