"""The training worker: rq's worker, extended by leases that decide which process may run a job.

rq alone takes a minute or more to notice a dead worker, and marks the job of a killed child as failed. Here rq only
delivers calls, and an attempt has a job as long as it keeps the lease (`cellar.store.catalogue.jobs`). The parent
process waits for calls, forks a child for each, sweeps, and kills a child that does not stop when it should. It has no
threads, so that the fork is safe.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from rq import Worker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job as Call
from rq.queue import Queue
from rq.serializers import JSONSerializer

from cellar.errors import JobUnknown, StoreUnavailable, Superseded
from cellar.jobs.attempt.dead_workers import end_leases, lease_of, worker_name
from cellar.jobs.options import JobOptions
from cellar.jobs.queue import JobQueue
from cellar.jobs.sweeper import Sweeper
from cellar.machine import children_of, resident_bytes
from cellar.ports import Job, JobStore, Lease
from cellar.ports.failure_log import FailureLog
from cellar.process import end_with_parent

logger = logging.getLogger(__name__)

TICK_S = 1
"""How often the parent checks its child, and sweeps while the queue is empty; rq needs whole seconds."""

WORKER_TTL_S = 15 + TICK_S
"""rq waits for a call for 15 s less than this."""

ALIVE_S = 30.0
"""A worker without a heartbeat for this time hangs or has ended; heartbeats usually come every few seconds."""

TIDY_S = 600.0
"""How often rq deletes its records of failed calls."""

GRACE_S = 5.0
"""Time that a child has to store a checkpoint and stop before it is killed."""

BEGIN_S = 60.0
"""Time that a child has to acquire the lease before it is killed."""


_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
_FAULT = "a fault of the service, not of the job: its maintainers need the job's request to find it"
_MEANINGS: dict[signal.Signals, str] = {
    signal.SIGKILL: "the system kills a process so when it needs more memory than there is",
    **dict.fromkeys(
        _FAULTS, "a fault of the service, not of the job: its maintainers need the job's request to find it"
    ),
}
"""Explanations of signals, for the errors of jobs."""


class TrainingWorker(Worker):
    """A worker that carries out one job at a time in a child process."""

    max_connection_wait_time = 2.0  # s; by default rq waits up to a minute between two attempts to connect

    def __init__(self, job_queue: JobQueue, jobs: JobStore, sweeper: Sweeper, sweep_s: float) -> None:
        super().__init__(
            job_queue.queues,
            connection=job_queue.connection,
            serializer=JSONSerializer,
            name=worker_name(),
            worker_ttl=WORKER_TTL_S,
            job_monitoring_interval=TICK_S,
            log_job_description=False,
        )
        self._jobs = jobs
        self._sweeper = sweeper
        self._sweep_s = sweep_s
        self._swept = self._tidied = -float("inf")
        self._unwanted_since: float | None = None
        self._failures = FailureLog(logger, "the job queue can be reached again")
        """Of checks of a child."""

    @property
    def stop_requested(self) -> bool:
        """Whether this worker was asked to stop."""
        return self._shutdown_requested_date is not None

    # --- while idle and while a child runs: sweep ---

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Return whether it is time to sweep. rq reads this in each iteration of its loop."""
        return time.monotonic() - self._swept >= self._sweep_s

    def run_maintenance_tasks(self) -> None:
        """Sweep, and every TIDY_S let rq delete its old records."""
        self._swept = time.monotonic()
        self._sweeper.try_sweep()
        if self._swept - self._tidied >= TIDY_S:
            self._tidied = self._swept
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]  # rq is typed in parts

    def maintain_heartbeats(self, job: Call, execution: Execution) -> None:
        """Check the child, every TICK_S. Errors of Redis are logged, and the child runs on."""
        try:
            super().maintain_heartbeats(job, execution)
            if self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()
        except redis.RedisError as error:
            self._failures.failed(f"the job queue cannot be reached: {error}")
        else:
            self._failures.worked()
        self._kill_if_unwanted(lease_of(job))

    def subscribe(self) -> None:
        """Subscribe to no commands: jobs are cancelled in their records, and a thread would make the fork unsafe."""

    def unsubscribe(self) -> None:
        """Do nothing, as nothing was subscribed to."""

    # --- the child ---

    def main_work_horse(self, job: Call, queue: Queue) -> None:
        """Run one call, in the child."""
        assert self.pid is not None
        end_with_parent(self.pid)
        super().main_work_horse(job, queue)

    def handle_warm_shutdown_request(self) -> None:
        """Ask the child to give its job back, because its job may take hours."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]  # rq is typed in parts
        self._ask_to_stop()

    def handle_work_horse_killed(self, job: Call, retpid: int, ret_val: int | None, rusage: Any) -> None:  # noqa: ARG002  # rq's
        """End the lease of a child that died, so that its job is queued again before the lease expires."""
        death = describe_exit(ret_val)
        logger.warning("job %s: its process died of %s", lease_of(job).job, death)
        try:
            if self.stop_requested:
                self._jobs.release(lease_of(job))
            else:
                self._jobs.abandon(lease_of(job), death)
        except (Superseded, StoreUnavailable) as error:
            logger.info("job %s is left to the sweeper: %s", lease_of(job).job, error)
        self._swept = -float("inf")

    def _ask_to_stop(self) -> None:
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def _kill_if_unwanted(self, lease: Lease) -> None:
        if self.stop_requested:
            self._ask_to_stop()  # again: the first time may have been before the fork
        patience_s = self._patience_s(lease)
        if patience_s is None:
            self._unwanted_since = None
            return
        if self._unwanted_since is None:
            self._unwanted_since = time.monotonic()
        if time.monotonic() - self._unwanted_since > patience_s:
            logger.warning("job %s: its process does not stop and is killed", lease.job)
            self._unwanted_since = None
            self.kill_horse()

    def _patience_s(self, lease: Lease) -> float | None:
        """Return how long the child may still run, None if there is no reason to stop it."""
        if self.stop_requested:
            return GRACE_S
        try:
            job = self._jobs.get(lease.tenant, lease.job)
        except JobUnknown:
            return GRACE_S
        except StoreUnavailable:
            return None
        if job.attempt < lease.attempt and _runs(job):
            return BEGIN_S
        if _runs(job) and self._is_too_large(job, lease):
            return 0
        # A job that is queued again has a child that did not renew its lease. If it can, the job is running again soon.
        wanted = job.attempt == lease.attempt and job.cancel_asked_s is None and job.state == "running"
        return None if wanted else GRACE_S

    def _is_too_large(self, job: Job, lease: Lease) -> bool:
        """Return whether the child takes more memory than its job may; then the job has failed. Raise no error."""
        most_bytes, horse = JobOptions.of(job).max_memory_bytes, self.horse_pid
        if most_bytes is None or not horse or job.attempt != lease.attempt:
            return False
        used_bytes = sum(map(resident_bytes, [str(horse), *map(str, children_of(horse))]))
        if used_bytes <= most_bytes:
            return False
        error = (
            f"its process took {used_bytes} bytes of memory, more than the max_memory_bytes of the job, {most_bytes}"
        )
        logger.warning("job %s of tenant %s has failed: %s", job.job, job.tenant, error)
        with suppress(Superseded, StoreUnavailable):
            self._jobs.finish(lease, "failed", error=error)
        return True


def run(
    connect: Callable[[], redis.Redis],
    queue: str,
    *,
    where: str,
    jobs: JobStore,
    sweeper: Callable[[JobQueue], Sweeper],
    sweep_s: float,
    check: Callable[[redis.Redis], None] = lambda _: None,
) -> None:
    """Work until SIGTERM or SIGINT. While Redis is unavailable, try to connect again.

    `connect` makes the client for the queue of that name, which `check` refuses with a StartupError if its server is
    too old; `where` is the address of its Redis, for messages. Call it on the main thread of a process without other
    threads.
    """
    worker: TrainingWorker | None = None
    failures = FailureLog(logger, f"the job queue in Redis at {where} can be reached again")
    while True:
        _end_when_asked()
        try:
            client = connect()
            check(client)
            failures.worked()
            with connect() as other:  # rq changes the time limits of a client that reads its workers
                end_leases(JobQueue(other, queue), jobs)
            job_queue = JobQueue(client, queue)
            worker = TrainingWorker(job_queue, jobs, sweeper(job_queue), sweep_s)
            worker.work(logging_level=None)
        except StopRequested:
            return
        except redis.RedisError as error:
            failures.failed(f"the job queue in Redis at {where} cannot be reached: {error}")
        if worker is not None and worker.stop_requested:
            return  # also if Redis was unavailable when the worker deregistered
        _end_when_asked()
        time.sleep(TICK_S)


def _end_when_asked() -> None:
    """Let a signal end the process with exit code 0. rq installs its own handlers only once it is registered."""

    def end(_number: int, _frame: object) -> None:
        """End the process in good order."""
        raise SystemExit(0)  # no subclass of Exception, which running code, such as logging, could swallow

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def is_alive(job_queue: JobQueue) -> bool:
    """Return whether a worker of this host had a heartbeat within ALIVE_S. Raise StoreUnavailable."""
    try:
        workers = Worker.all(connection=job_queue.connection, queue=job_queue.queue, serializer=JSONSerializer)
    except redis.RedisError as error:
        raise StoreUnavailable(f"the job queue cannot be reached: {error}") from error
    least = datetime.now(UTC) - timedelta(seconds=ALIVE_S)
    beats = [worker.last_heartbeat for worker in workers if worker.hostname == socket.gethostname()]
    return any(beat is not None and beat > least for beat in beats)


def _runs(job: Job) -> bool:
    return job.state in ("queued", "running")


def describe_exit(status: int | None) -> str:
    """Return the signal that killed a process, or its exit status, from the status of `os.waitpid`.

    rq has no status if its timer interrupts the call that has waited for the process.
    """
    if status is None:
        return "a cause that is not known"
    if not os.WIFSIGNALED(status):
        return f"exit status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number)
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"
    meaning = _MEANINGS.get(name)
    return name.name if meaning is None else f"{name.name} ({meaning})"
