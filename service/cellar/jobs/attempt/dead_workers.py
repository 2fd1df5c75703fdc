"""Ends the leases of workers of this host that have died, so that their jobs run again before the leases expire.

A worker has a name at rq that says which process it is, and rq has the calls that each worker carries out. If a lease
is ended by mistake, an attempt is lost and nothing else: the old attempt can write nothing once the next one has begun.
"""

import logging
import uuid
from contextlib import suppress

from rq import Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job as Call
from rq.serializers import JSONSerializer

from cellar.errors import StoreUnavailable, Superseded
from cellar.jobs.queue import JobQueue
from cellar.ports import JobStore, Lease
from cellar.process import has_ended, identity

logger = logging.getLogger(__name__)


def worker_name() -> str:
    """Return a new name for a worker of this process."""
    return f"{identity()}:{uuid.uuid4().hex}"


def end_leases(job_queue: JobQueue, jobs: JobStore) -> None:
    """End the leases of the workers whose processes have ended, as far as that is known. Raise RedisError.

    The process of a job ends with its worker (`cellar.process.end_with_parent`).
    """
    workers = Worker.all(queue=job_queue.queue, serializer=JSONSerializer)
    dead = [worker for worker in workers if has_ended(worker.name.partition(":")[0])]
    if not dead:
        return
    living = {call.job_id for worker in workers if worker not in dead for call in worker.get_current_executions()}
    for worker in dead:
        for call in {call.job_id for call in worker.get_current_executions()} - living:
            _end_lease(call, job_queue, jobs)
        worker.register_death()  # type: ignore[no-untyped-call]  # rq is typed in parts


def lease_of(call: Call) -> Lease:
    """Return the lease of the attempt that a call begins."""
    tenant, job = call.args
    return Lease(tenant, job, int(call.id.rsplit("-", 1)[1]))


def _end_lease(call_id: str, job_queue: JobQueue, jobs: JobStore) -> None:
    with suppress(NoSuchJobError):
        lease = lease_of(Call.fetch(call_id, connection=job_queue.connection, serializer=JSONSerializer))
        try:
            jobs.renew(lease, 0)
        except (Superseded, StoreUnavailable) as error:
            logger.info("job %s is left to the sweeper: %s", lease.job, error)
        else:
            logger.warning("job %s: its worker has died", lease.job)
