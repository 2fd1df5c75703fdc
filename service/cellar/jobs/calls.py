"""The queue between the api and the workers: rq carries the name of a job and nothing else."""

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from cellar.errors import StoreUnavailable
from cellar.ports import Job

RUN_JOB = "cellar.main.run_job"
"""What a worker calls with (tenant, job)."""

KEEP_FAILED_S = 3600
"""How long rq keeps its own note of a call that died. Nothing reads it but a person with rq's tools."""


class Calls:
    """Calls of `run_job` on their way to a worker. Safe to call from several threads."""

    def __init__(self, connection: redis.Redis, queue: str) -> None:
        self.connection = connection
        self.queue = Queue(queue, connection=connection, serializer=JSONSerializer, default_timeout=-1)

    def push(self, job: Job) -> None:
        """Ask a worker to begin the next attempt. Raise StoreUnavailable."""
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


def call_id(job: Job) -> str:
    """Return rq's name for the call that begins the next attempt (letters, digits, `_` and `-`).

    One id an attempt: a superseded worker that tidies up after itself cannot remove the call of its successor.
    """
    return f"{job.job}-{job.attempt + 1}"
