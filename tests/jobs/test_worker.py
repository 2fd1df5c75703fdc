"""Real workers: processes of their own, real signals, real training. What a kill costs is time, and little of it."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cellar.engine import KernelCache
from cellar.jobs.attempt.dead_workers import end_leases
from cellar.jobs.options import JobOptions, Priority
from cellar.jobs.queue import JobQueue
from cellar.jobs.worker import GRACE_S, TrainingWorker
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.model.network import Network
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.ports import Job
from cellar.store.catalogue.job_events import RedisJobEvents
from cellar.store.topology.factory import sync_client
from cellar.wire.arrays.weights import dump
from tests.jobs.conftest import NETWORK, SEED, Room, Workshop, walks
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

WORKER = "from cellar import main; from cellar.settings import Settings; main.work(Settings.load())"

BAR_S = 10.0
"""A job whose worker was killed is running again within this."""

LONG = TrainingSpec(epochs=1_000_000, batch_size=4, seed=5)
"""No test waits for the end of it."""

DIVERGING = TrainingSpec.model_validate(
    {"epochs": 200, "optimiser": {"type": "sgd", "learning_rate": 1e6}, "reduce": "sum"}
)


class Workers:
    """Worker processes of one workshop."""

    def __init__(self, environment: dict[str, str], stack: ExitStack) -> None:
        self._environment = environment
        self._stack = stack

    def start(self, *, stderr: int | None = None, nice: str = "0", lease_s: str = "5") -> subprocess.Popen[bytes]:
        """Start a worker; it is killed at the end of the test. Jobs compete with other tests for the processor."""
        environment = self._environment | {"CELLAR_JOB_NICE": nice, "CELLAR_JOB_LEASE_S": lease_s}
        worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment, stderr=stderr)
        self._stack.callback(worker.wait)
        self._stack.callback(worker.kill)
        return worker


@pytest.fixture
def workers(workshop: Workshop, redis_url: str, kernel_directory: Path) -> Iterator[Workers]:
    """Yield what starts workers for the workshop's jobs."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CELLAR_REDIS_URL": redis_url,
        "CELLAR_KEY_PREFIX": workshop.room.prefix,
        "CELLAR_CACHE_DIR": str(kernel_directory),
        "CELLAR_JOB_RETAINED_S": "0",
    }
    with ExitStack() as stack:
        yield Workers(environment, stack)


def child_of(worker: subprocess.Popen[bytes]) -> int:
    """Return the process that carries out the worker's job, 0 if there is none."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    return int(children[0]) if children else 0


def under_way(workshop: Workshop, job: Job, epochs: int = 1) -> Callable[[], Job | None]:
    """Return a function that says whether the given number of epochs of a job are done and in a checkpoint."""

    def look() -> Job | None:
        found = workshop.jobs.get("default", job.job)
        assert found.state in ("queued", "running"), found
        return found if found.checkpoint is not None and found.progress.get("epoch", 0) > epochs else None

    return look


def running_attempt(workshop: Workshop, job: Job, attempt: int) -> Callable[[], bool]:
    """Return a look at whether an attempt of a job is running."""

    def look() -> bool:
        found = workshop.jobs.get("default", job.job)
        return (found.state, found.attempt) == ("running", attempt)

    return look


def ended(workshop: Workshop, job: Job) -> Callable[[], Job | None]:
    """Return a look at whether a job has ended."""

    def look() -> Job | None:
        found = workshop.jobs.get("default", job.job)
        return None if found.state in ("queued", "running") else found

    return look


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A training that takes seconds, and the weights that it ends with if nothing disturbs it."""

    training: TrainingSpec
    weights: str
    """Digest of the blob."""
    losses: list[float]
    """Of each epoch."""


@pytest.fixture(scope="module")
def undisturbed(kernel_directory: Path) -> Undisturbed:
    """Return a training that takes this machine three seconds of work: as many epochs as it does in that time."""
    network = Network(NETWORK)
    until, losses = time.process_time() + 3, list[float]()
    for progress in fit(CompiledNetwork(network, KernelCache(kernel_directory)), network.init(SEED), walks(), LONG):
        if progress.update == progress.updates:
            losses.append(progress.loss)
            if time.process_time() > until:
                weights = hashlib.sha256(dump(progress.weights())).hexdigest()
                return Undisturbed(LONG.model_copy(update={"epochs": progress.epoch}), weights, losses)
    raise AssertionError("a training that never ends has ended")


def test_jobs_are_carried_out_one_after_another_and_one_that_fails_harms_no_other(
    workshop: Workshop, workers: Workers
) -> None:
    worker = workers.start()
    diverging = workshop.submit(DIVERGING)
    done = wait_until(ended(workshop, workshop.submit()), 60, "the second job has ended")
    assert (done.state, done.result, done.attempt) == ("succeeded", "walk@2", 1)
    failed = workshop.jobs.get("default", diverging.job)
    assert (failed.state, failed.attempt) == ("failed", 1)
    assert "lower the learning rate" in str(failed.error)
    worker.terminate()
    assert worker.wait(10) == 0


@pytest.mark.parametrize("victim", ["child", "worker", "both"])
def test_a_killed_worker_costs_seconds_and_no_bit(
    workshop: Workshop, workers: Workers, undisturbed: Undisturbed, victim: str
) -> None:
    worker = workers.start()
    job = workshop.submit(undisturbed.training)
    wait_until(under_way(workshop, job), 60, "the first attempt is under way")
    if victim != "child":
        workers.start()
    child = child_of(worker)
    for process in {"child": [child], "worker": [worker.pid], "both": [child, worker.pid]}[victim]:
        os.kill(process, signal.SIGKILL)
    wait_until(running_attempt(workshop, job, 2), BAR_S, "the job runs again")
    done = wait_until(ended(workshop, job), 60, "the job has ended")
    assert (done.state, done.attempt, done.result) == ("succeeded", 2, "walk@2")
    assert workshop.registry.get("default", "walk").weights == undisturbed.weights
    events = RedisJobEvents(workshop.room.client, workshop.room.prefix)
    found, after = events.epochs("default", job.job, 0, 1_000_000)
    assert (len(found) > 1000, after) == (True, None)
    assert [(each["epoch"], each["loss"]) for each in found] == [*enumerate(undisturbed.losses, 1)]


def test_a_new_worker_waits_for_no_lease_of_one_of_its_host_that_was_killed(
    workshop: Workshop, workers: Workers, redis_url: str
) -> None:
    first = workers.start(lease_s="60")
    job = workshop.submit(LONG)
    wait_until(under_way(workshop, job), 60, "the first attempt is under way")
    room = workshop.room
    with sync_client(redis_url) as other:
        first.send_signal(signal.SIGSTOP)
        end_leases(JobQueue(other, room.job_queue.queue.name), room.store)
        assert room.store.acquire("default", job.job, 60) is None, "a worker that is paused keeps its lease"
    first.kill()
    first.wait()
    workers.start(lease_s="60")
    wait_until(running_attempt(workshop, job, 2), 50, "the job runs again before the lease is over")
    workshop.jobs.cancel("default", job.job)


def test_a_worker_that_was_frozen_cannot_publish_what_another_has_done(
    workshop: Workshop, workers: Workers, undisturbed: Undisturbed
) -> None:
    frozen = workers.start()
    job = workshop.submit(undisturbed.training)
    wait_until(under_way(workshop, job), 60, "the first attempt is under way")
    child = child_of(frozen)
    for process in (frozen.pid, child):
        os.kill(process, signal.SIGSTOP)
    workers.start()
    wait_until(running_attempt(workshop, job, 2), BAR_S, "the job runs again")
    for process in (frozen.pid, child):
        os.kill(process, signal.SIGCONT)
    wait_until(lambda: child_of(frozen) != child, 10, "the superseded child has ended")
    done = wait_until(ended(workshop, job), 60, "the job has ended")
    assert (done.state, done.attempt, done.result) == ("succeeded", 2, "walk@2")
    assert [version.ref for version in workshop.registry.versions("default", "walk")] == ["walk@1", "walk@2"]
    assert workshop.registry.get("default", "walk").weights == undisturbed.weights


def test_a_worker_that_is_stopped_gives_its_job_back(
    workshop: Workshop, workers: Workers, undisturbed: Undisturbed
) -> None:
    first = workers.start()
    job = workshop.submit(undisturbed.training)
    wait_until(under_way(workshop, job), 60, "the first attempt is under way")
    first.terminate()
    assert first.wait(10) == 0
    given_back = workshop.jobs.get("default", job.job)
    assert (given_back.state, given_back.attempt) == ("queued", 1)
    workers.start()
    done = wait_until(ended(workshop, job), 60, "the job has ended")
    assert (done.state, done.attempt) == ("succeeded", 2)
    assert workshop.registry.get("default", "walk").weights == undisturbed.weights


def test_a_running_job_is_cancelled_and_leaves_only_its_record(workshop: Workshop, workers: Workers) -> None:
    workers.start()
    before = workshop.room.keys()
    job = workshop.submit(LONG)
    wait_until(under_way(workshop, job), 60, "the job is under way")
    assert workshop.jobs.cancel("default", job.job).state == "running"
    assert wait_until(ended(workshop, job), 10, "the job has ended").state == "cancelled"
    tag = f"{workshop.room.prefix}:{{jobs}}"
    record = f"{tag}:default/{job.job}"
    of_job = {record, *(f"{record}:{kind}" for kind in ("events", "history", "epochs"))}
    left = of_job | {f"{tag}:index:default", f"{tag}:outcomes"}
    wait_until(lambda: left == {*workshop.room.keys()} - {*before}, 10, "its blobs are gone")


def test_a_job_that_does_not_listen_is_killed(workshop: Workshop, workers: Workers) -> None:
    worker = workers.start()
    job = workshop.submit(LONG)
    wait_until(under_way(workshop, job), 60, "the job is under way")
    child = child_of(worker)
    os.kill(child, signal.SIGSTOP)
    workshop.jobs.cancel("default", job.job)
    assert wait_until(ended(workshop, job), 20, "the job has ended").state == "cancelled"
    wait_until(lambda: child_of(worker) != child, 10, "the child is killed")


def test_a_process_that_does_not_renew_its_lease_is_killed_so_that_its_worker_can_run_the_job(room: Room) -> None:
    room.submit()
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    worker = TrainingWorker(room.job_queue, room.store, room.sweeper, 1)
    assert worker._patience_s(lease) is None
    room.store.renew(lease, 0)
    room.sweeper.sweep()
    assert worker._patience_s(lease) == GRACE_S
    room.store.renew(lease, 60)
    assert worker._patience_s(lease) is None, "Redis was away, and the process is well"


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "SIGKILL (the system kills"), (signal.SIGSEGV, "SIGSEGV (a fault of the service")],
    ids=["killed", "crashed"],
)
def test_a_job_that_kills_its_process_again_and_again_fails_and_says_how(
    workshop: Workshop, workers: Workers, number: int, words: str
) -> None:
    worker = workers.start()
    job = workshop.submit(LONG)

    def killed() -> Job | None:
        child = child_of(worker)
        if child and workshop.jobs.get("default", job.job).state == "running":
            with suppress(ProcessLookupError):  # the kill before has just been noticed
                os.kill(child, number)
        return ended(workshop, job)()

    failed = wait_until(killed, 60, "the job has failed")
    assert failed.state == "failed"
    assert f"died 3 times in a row before it reached a new checkpoint, the last time of {words}" in str(failed.error)


def test_a_worker_whose_redis_is_away_stops_when_it_is_asked(
    redis_process: RedisProcess, kernel_directory: Path
) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CELLAR_REDIS_URL": redis_process.url,
        "CELLAR_CACHE_DIR": str(kernel_directory),
    }
    with ExitStack() as stack:
        worker = Workers(environment, stack).start()
        with redis_process.client() as client:
            wait_until(lambda: client.scard("rq:workers"), 60, "the worker has shown itself")
        redis_process.kill()
        worker.terminate()
        assert worker.wait(10) == 0


def test_a_worker_that_has_never_seen_a_redis_stops_when_it_is_asked(tmp_path: Path, kernel_directory: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "CELLAR_REDIS_URL": f"unix://{tmp_path}/redis.sock",
        "CELLAR_CACHE_DIR": str(kernel_directory),
    }
    with ExitStack() as stack:
        worker = Workers(environment, stack).start(stderr=subprocess.PIPE)
        assert worker.stderr is not None
        stack.callback(worker.stderr.close)
        assert b"cannot be reached" in worker.stderr.readline()
        worker.terminate()
        assert worker.wait(10) == 0


def test_several_workers_carry_out_jobs_side_by_side_with_a_low_priority(workshop: Workshop, workers: Workers) -> None:
    both = [workers.start(nice="10") for _ in range(2)]
    jobs = [workshop.submit(LONG) for _ in range(2)]
    for job in jobs:
        wait_until(running_attempt(workshop, job, 1), 60, "both jobs run")
    for child in map(child_of, both):

        def has_low_priority(child: int = child) -> bool:
            """Return whether the job's thread has given way."""
            return os.getpriority(os.PRIO_PROCESS, child) == 10

        wait_until(has_low_priority, 60, "the job has a low priority")
        tasks = [int(task.name) for task in Path(f"/proc/{child}/task").iterdir()]
        priorities = {os.getpriority(os.PRIO_PROCESS, task) for task in tasks}
        assert priorities >= {0, 10}, "the thread that keeps the lease has the usual priority"
    for job in jobs:
        workshop.jobs.cancel("default", job.job)
        wait_until(ended(workshop, job), 60, "the job is cancelled")


def test_two_workers_run_two_jobs_and_take_those_of_high_priority_first(workshop: Workshop, workers: Workers) -> None:
    def submit(priority: Priority) -> Job:
        return workshop.jobs.submit("default", "walk", walks(), LONG, options=JobOptions(priority)).job

    low, normal, high = submit("low"), submit("normal"), submit("high")
    for _ in range(2):
        workers.start()
    for job in (normal, high):
        wait_until(running_attempt(workshop, job, 1), 60, "two jobs run")
    assert workshop.jobs.get("default", low.job).state == "queued"
    workshop.jobs.cancel("default", high.job)
    wait_until(running_attempt(workshop, low, 1), 60, "the third job runs")
    for job in (low, normal):
        workshop.jobs.cancel("default", job.job)


def test_a_job_that_takes_more_memory_than_it_may_fails(workshop: Workshop) -> None:
    job = workshop.jobs.submit("default", "walk", walks(), LONG, options=JobOptions(max_memory_bytes=2**40)).job
    room = workshop.room
    lease = room.store.acquire("default", job.job, 60)
    assert lease is not None
    worker = TrainingWorker(room.job_queue, room.store, room.sweeper, 1)
    worker._horse_pid = os.getpid()
    assert not worker._is_too_large(replace(job, attempt=1), lease)
    spec = job.spec | {"max_memory_bytes": 2**20}
    assert worker._is_too_large(replace(job, spec=spec, attempt=1), lease)
    failed = room.store.get("default", job.job)
    assert (failed.state, "more than the max_memory_bytes of the job" in str(failed.error)) == ("failed", True)
