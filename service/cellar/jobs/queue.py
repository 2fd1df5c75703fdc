"""The job queue between the API and the workers: an rq queue with the names of jobs."""

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from cellar.errors import StoreUnavailable
from cellar.ports import Job

RUN_JOB = "cellar.main.run_job"
"""The function that a worker calls with (tenant, job)."""

KEEP_FAILED_S = 3600
"""How long rq keeps a record of a call that failed, for people who use rq's tools, seconds."""


class JobQueue:
    """Queued calls of `run_job`. Safe to call from several threads."""

    def __init__(self, connection: redis.Redis, queue: str) -> None:
        self.connection = connection
        self.queue = Queue(queue, connection=connection, serializer=JSONSerializer, default_timeout=-1)

    def push(self, job: Job) -> None:
        """Queue the next attempt of a job. Raise StoreUnavailable."""
        try:
            self.queue.enqueue_call(
                RUN_JOB,
                args=(job.tenant, job.job),
                job_id=call_id(job),
                timeout=-1,
                result_ttl=0,
                failure_ttl=KEEP_FAILED_S,
                description=f"{job.tenant}/{job.job}",
            )
        except redis.RedisError as error:
            raise StoreUnavailable(f"the job queue cannot be reached: {error}", outcome="unknown") from error

    def waiting(self, job: Job) -> bool:
        """Return whether the call for the next attempt is in the queue. Raise StoreUnavailable."""
        try:
            return self.queue.get_job_position(call_id(job)) is not None
        except redis.RedisError as error:
            raise StoreUnavailable(f"the job queue cannot be reached: {error}") from error


def queue_name(prefix: str) -> str:
    """Return the name of the queue of the installation with a key prefix."""
    return f"{prefix}.jobs"


def call_id(job: Job) -> str:
    """Return rq's id of the call that begins the next attempt (letters, digits, `_` and `-`).

    Each attempt has its own id, so that a superseded worker cannot remove the call of the next attempt.
    """
    return f"{job.job}-{job.attempt + 1}"
