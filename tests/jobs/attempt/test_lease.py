"""The thread that keeps a lease."""

import uuid
from pathlib import Path

import pytest

from cellar.jobs.attempt.lease import LeaseKeeper
from cellar.ports import Lease
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import Room
from tests.waiting import wait_until

LEASE_S = 0.25


@pytest.fixture
def lease(room: Room) -> Lease:
    """Return the lease of a job's first attempt."""
    room.submit()
    lease = room.store.acquire("default", "j1", LEASE_S)
    assert lease is not None
    return lease


def test_a_kept_lease_never_runs_out(room: Room, lease: Lease) -> None:
    with LeaseKeeper(room.store, lease, LEASE_S) as keeper:
        assert not keeper.superseded.wait(4 * LEASE_S)
        assert room.store.acquire("default", "j1", LEASE_S) is None
    wait_until(lambda: room.store.acquire("default", "j1", LEASE_S), 5, "the lease runs out when it is left")


def test_hears_that_the_job_should_end(room: Room, lease: Lease) -> None:
    with LeaseKeeper(room.store, lease, LEASE_S) as keeper:
        room.store.cancel("default", "j1")
        assert keeper.cancelled.wait(5)
        assert not keeper.superseded.is_set()


def test_hears_that_another_attempt_has_the_job(room: Room, lease: Lease) -> None:
    room.store.renew(lease, 0)
    room.store.acquire("default", "j1", 60)
    with LeaseKeeper(room.store, lease, LEASE_S) as keeper:
        assert keeper.superseded.wait(5)


def test_a_store_that_is_away_is_not_the_end(tmp_path: Path) -> None:
    store = RedisJobs(sync_client(f"unix://{tmp_path}/gone.sock"), uuid.uuid4().hex)
    with LeaseKeeper(store, Lease("default", "j1", 1), LEASE_S) as keeper:
        assert not keeper.superseded.wait(2 * LEASE_S)
        assert not keeper.cancelled.is_set()
