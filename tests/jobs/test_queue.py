"""Calls on their way to a worker."""

from dataclasses import replace
from pathlib import Path

import pytest

from cellar.errors import StoreUnavailable
from cellar.jobs.queue import RUN_JOB, JobQueue
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import Room


def test_a_call_names_the_job_in_json(room: Room) -> None:
    job = room.submit()
    assert not room.job_queue.waiting(job)
    room.job_queue.push(job)
    assert room.job_queue.waiting(job)
    [call] = room.job_queue.queue.jobs
    assert (call.func_name, tuple(call.args), call.timeout) == (RUN_JOB, ("default", "j1"), -1)
    assert not room.job_queue.waiting(replace(job, attempt=1))


def test_a_queue_that_is_away_is_unavailable(room: Room, tmp_path: Path) -> None:
    job_queue = JobQueue(sync_client(f"unix://{tmp_path}/gone.sock"), "test")
    with pytest.raises(StoreUnavailable):
        job_queue.push(room.submit())


def test_each_priority_has_a_queue_and_workers_take_them_in_order(room: Room) -> None:
    job = room.submit()
    for priority in ("low", "normal", "high"):
        room.job_queue.push(replace(job, job=priority, spec=job.spec | {"priority": priority}))
    names = [queue.name for queue in room.job_queue.queues]
    assert names == [f"{room.prefix}.jobs.high", f"{room.prefix}.jobs", f"{room.prefix}.jobs.low"]
    assert [queue.job_ids for queue in room.job_queue.queues] == [["high-1"], ["normal-1"], ["low-1"]]
    assert room.job_queue.waiting(replace(job, job="low", spec=job.spec | {"priority": "low"}))
