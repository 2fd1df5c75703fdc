"""Calls on their way to a worker."""

from dataclasses import replace
from pathlib import Path

import pytest

from cellar.errors import StoreUnavailable
from cellar.jobs.calls import RUN_JOB, Calls
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import Room


def test_a_call_names_the_job_in_json(room: Room) -> None:
    job = room.submit()
    assert not room.calls.waiting(job)
    room.calls.push(job)
    assert room.calls.waiting(job)
    [call] = room.calls.queue.jobs
    assert (call.func_name, tuple(call.args), call.timeout) == (RUN_JOB, ("default", "j1"), -1)
    assert not room.calls.waiting(replace(job, attempt=1))


def test_a_queue_that_is_away_is_unavailable(room: Room, tmp_path: Path) -> None:
    calls = Calls(sync_client(f"unix://{tmp_path}/gone.sock"), "test")
    with pytest.raises(StoreUnavailable):
        calls.push(room.submit())
