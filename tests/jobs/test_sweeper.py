"""Orphans are queued once, ended jobs leave nothing but their record."""

import threading

import pytest

from cellar.errors import BlobUnknown, JobActive, JobNotRetryable, Superseded
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import Room
from tests.waiting import wait_until


def test_a_job_whose_call_was_never_queued_is_queued(room: Room) -> None:
    job = room.submit()
    room.sweeper.sweep()
    assert not room.job_queue.waiting(job), "whoever submits a job has time to queue it"

    def swept() -> bool:
        room.sweeper.sweep()
        return room.job_queue.waiting(job)

    wait_until(swept, 10, "the job is queued")


def test_a_job_that_waits_for_a_worker_is_not_queued_again(room: Room) -> None:
    room.job_queue.push(room.submit())
    looked = 0
    while looked < 2:
        looked += wait_until(lambda: len(list(room.store.orphans())), 10, "the job is due")
        room.sweeper.sweep()
    assert room.job_queue.queue.count == 1


def test_the_job_of_a_dead_worker_is_queued_for_the_next_attempt(room: Room) -> None:
    job = room.submit()
    lease = room.store.acquire("default", "j1", 0.1)
    assert lease is not None

    def queued_again() -> bool:
        room.sweeper.sweep()
        return room.job_queue.waiting(room.store.get("default", "j1"))

    wait_until(queued_again, 10, "the job is queued again")
    assert not room.job_queue.waiting(job), "the call that has died is another"
    assert room.store.get("default", "j1").state == "queued"


def test_the_job_of_a_dead_worker_is_before_those_that_were_never_run(room: Room) -> None:
    room.submit()
    for name in ("j2", "j3"):
        room.job_queue.push(room.submit(name))
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    room.store.renew(lease, 0)
    room.sweeper.sweep()
    assert room.job_queue.queue.job_ids == ["j1-2", "j2-1", "j3-1"]


def test_an_ended_job_leaves_its_record_only(room: Room) -> None:
    room.submit()
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    recorded, half_written = room.blobs.put(b"checkpoint"), room.blobs.put(b"spare")
    room.store.report(lease, {"epoch": 1}, recorded, history=[{"epoch": 1}])
    room.store.claim(lease, half_written)
    room.store.finish(lease, "failed", error="no")
    room.sweeper.sweep()
    tag = f"{room.prefix}:{{jobs}}"
    of_job = [f"{tag}:default/j1{part}" for part in ("", ":epochs", ":events", ":history")]
    assert room.keys() == [*of_job, f"{tag}:index:default", f"{tag}:outcomes"]


def test_the_data_of_a_failed_job_is_kept_as_long_as_it_can_be_tried_again(room: Room) -> None:
    room.submit()
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    checkpoint = room.blobs.put(b"checkpoint")
    room.store.report(lease, {"epoch": 1}, checkpoint)
    room.store.finish(lease, "failed", error="no")
    patient = RedisJobs(room.client, room.prefix, retained_s=60)
    sweeper = type(room.sweeper)(patient, room.blobs, room.job_queue)
    sweeper.sweep()
    again = patient.retry("default", "j1")
    assert (again.state, again.checkpoint, again.error) == ("queued", checkpoint, None)
    with pytest.raises(Superseded):
        room.store.finish(lease, "failed", error="a repetition of the end of the first attempt")
    assert room.blobs.get(checkpoint) == b"checkpoint"
    with pytest.raises(JobActive):
        patient.retry("default", "j1")
    room.store.cancel("default", "j1")
    room.sweeper.sweep()  # keeps nothing
    with pytest.raises(JobNotRetryable, match="deleted"):
        patient.retry("default", "j1")
    with pytest.raises(BlobUnknown):
        room.blobs.get(checkpoint)


def test_a_store_that_is_away_is_waited_for(room: Room) -> None:
    away = RedisJobs(sync_client("unix:///nowhere.sock"), room.prefix)
    sweeper = type(room.sweeper)(away, room.blobs, room.job_queue)
    sweeper.try_sweep()


def test_sweeps_until_it_is_stopped(room: Room) -> None:
    job = room.submit()
    stop = threading.Event()
    thread = threading.Thread(target=room.sweeper.run, args=(stop, 0.05))
    thread.start()
    try:
        wait_until(lambda: room.job_queue.waiting(job), 10, "the job is queued")
    finally:
        stop.set()
        thread.join(5)
    assert not thread.is_alive()
