"""Snapshots of sessions, and going back to them: once, at one position, and onto the same model only."""

import asyncio
import dataclasses

import pytest

from cellar.errors import (
    AlreadyExists,
    EpochChanged,
    FingerprintMismatch,
    KernelRevisionMismatch,
    SnapshotUnfit,
    SnapshotUnknown,
    StepTaken,
    StoreCorrupt,
)
from cellar.ports import APPEND, Identity, SessionKey
from cellar.sessions.operations.snapshots import Snapshots
from cellar.sessions.service import state_edits
from cellar.store.companions.snapshots import RedisSnapshots
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import ExactNetwork, history
from tests.sessions.session_calls import at, begin, output, position, state, step

pytestmark = pytest.mark.anyio


def snapshots_of(service: Service) -> Snapshots:
    """Return the snapshots of a service."""
    prefix = service.store.keys.probe.decode().removesuffix(":probe")
    copies = RedisSnapshots(service.store._router, service.store, prefix=prefix)
    return Snapshots(service.sessions, service.store, copies, FakeClock())


@pytest.fixture
def snapshots(service: Service) -> Snapshots:
    """Return the snapshots of the service on the shared Redis."""
    return snapshots_of(service)


async def kept(service: Service, snapshots: Snapshots) -> SessionKey:
    """Return a session with a snapshot `s` after step 1 that has made step 2."""
    key = await begin(service)
    await step(service, key, 1)
    assert (await snapshots.take(key, "s", APPEND)).taken
    await step(service, key, 2)
    return key


async def test_a_restored_session_goes_on_from_there(service: Service, snapshots: Snapshots) -> None:
    key = await kept(service, snapshots)
    before = await position(service, key)
    answer = await snapshots.restore(key, "s", APPEND)
    assert (answer.position.step, answer.replayed) == (0, False)
    assert answer.position.epoch != before.epoch
    assert output(await step(service, key, 3)) == history([1, 3])
    with pytest.raises(EpochChanged):
        await step(service, key, 3, at(before))
    await snapshots.restore(key, "s", APPEND)
    assert await state(service, key) == history([1])


@pytest.mark.parametrize("identity", ["position", "key"])
async def test_a_restoration_happens_once(service: Service, snapshots: Snapshots, identity: str) -> None:
    """Whatever becomes of the session and the snapshot meanwhile."""
    key = await kept(service, snapshots)
    await snapshots.take(key, "other", APPEND)
    who = at(await position(service, key)) if identity == "position" else Identity(key="k")
    first = await snapshots.restore(key, "s", who)
    await step(service, key, 3)
    await snapshots.delete(key, "s")
    again = await snapshots.restore(key, "s", who)
    assert (again.position, again.replayed) == (first.position, True)
    assert await state(service, key) == history([1, 3])
    with pytest.raises(SnapshotUnknown):
        await snapshots.restore(key, "s", APPEND)
    with pytest.raises((EpochChanged, FingerprintMismatch)):
        await snapshots.restore(key, "other", who)


async def test_of_two_processes_that_restore_at_once_one_wins(redis_url: str, start_service: StartService) -> None:
    """The same request is one restoration; of two requests at one position the second is refused."""
    one, other = start_service(redis_url), start_service(redis_url)
    key = await kept(one, snapshots_of(one))
    await snapshots_of(one).take(key, "t", APPEND)
    where = await position(one, key)
    await step(other, key, 5, Identity(key="both know the session"))
    where = await position(other, key)
    same = await asyncio.gather(*(snapshots_of(each).restore(key, "s", at(where)) for each in (one, other) * 2))
    assert len({str(answer.position) for answer in same}) == 1
    assert [answer.replayed for answer in same].count(False) == 1

    where = await position(one, key)
    results = await asyncio.gather(
        *(snapshots_of(each).restore(key, name, at(where)) for each, name in ((one, "s"), (other, "t"))),
        return_exceptions=True,
    )
    refused = [isinstance(result, StepTaken | EpochChanged) for result in results]
    assert sorted(refused) == [False, True], results
    assert await state(one, key) == history([1] if refused[1] else [1, 2])


async def test_restorations_without_a_position_all_happen_one_after_the_other(
    redis_url: str, start_service: StartService
) -> None:
    one, other = start_service(redis_url), start_service(redis_url)
    key = await kept(one, snapshots_of(one))
    answers = await asyncio.gather(*(snapshots_of(each).restore(key, "s", APPEND) for each in (one, other) * 3))
    assert len({answer.position.epoch for answer in answers}) == 6
    assert not any(answer.replayed for answer in answers)
    assert await state(other, key) == history([1])


async def test_a_snapshot_is_taken_once(service: Service, snapshots: Snapshots) -> None:
    key = await begin(service)
    where = (await step(service, key, 1)).position
    first = await snapshots.take(key, "s", APPEND)
    assert not (await snapshots.take(key, "s", APPEND)).taken
    keyed = await snapshots.take(key, "k", Identity(key="k"))
    await step(service, key, 2)
    assert (await snapshots.take(key, "s", at(where))).snapshot == first.snapshot
    again = await snapshots.take(key, "k", Identity(key="k"))
    assert (keyed.taken, again.taken, again.snapshot) == (True, False, keyed.snapshot)
    for name, other in (("s", APPEND), ("s", Identity(key="k")), ("k", Identity(key="l"))):
        with pytest.raises(AlreadyExists):
            await snapshots.take(key, name, other)
    assert await snapshots.get(key, "s") == first.snapshot
    assert [snapshot.name for snapshot in await snapshots.list(key)] == ["k", "s"]


async def test_a_snapshot_of_another_model_or_arithmetic_is_not_restored(service: Service) -> None:
    """A session has another one of both after it has been migrated."""
    record = await service.store.load(await begin(service))
    for change, error in (({"model_digest": "e" * 64}, SnapshotUnfit), ({"kernel_rev": 7}, KernelRevisionMismatch)):
        copy = dataclasses.replace(record, meta=dataclasses.replace(record.meta, **change))
        with pytest.raises(error):
            state_edits.restore(copy, record, ExactNetwork())
    assert state_edits.restore(record, record, ExactNetwork()).state == record.state
    with pytest.raises(StoreCorrupt):
        state_edits.restore(dataclasses.replace(record, state=b"short"), record, ExactNetwork())
