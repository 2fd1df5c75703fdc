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
