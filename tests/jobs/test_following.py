"""Followers of jobs are given every event once, over several processes and pauses, and then the end."""

import asyncio

import pytest

from cellar.errors import JobUnknown, Overloaded, StoreUnavailable
from cellar.jobs.following import JobFollowing
from cellar.ports import JobEvent, JobPlace
from cellar.store.catalogue.job_events import RedisJobEvents
from cellar.store.topology.factory import sync_client
from tests.jobs.conftest import Room

pytestmark = pytest.mark.anyio

J1 = JobPlace("default", "j1")


def following(room: Room, most: int = 10) -> JobFollowing:
    """Return what an api process has."""
    return JobFollowing(RedisJobEvents(room.client, room.prefix), poll_s=0.01, heartbeat_s=0.05, most=most)


async def follow(some: JobFollowing, place: JobPlace = J1) -> list[JobEvent]:
    """Return all events until the end."""
    follower = await some.follow(place)
    try:
        return [event async for event in some.events(follower) if event is not None]
    finally:
        some.unfollow(follower)


def kinds(events: list[JobEvent]) -> list[str]:
    return [event.kind for event in events]


async def test_followers_of_two_processes_get_the_same_events_while_a_worker_dies(room: Room) -> None:
    room.submit()
    processes = [following(room), following(room)]
    followers = [asyncio.create_task(follow(each)) for each in processes]
    dead = room.store.acquire("default", "j1", 60)
    assert dead is not None
    room.store.report(dead, {"epoch": 1}, history=[{"epoch": 1}])
    room.store.abandon(dead, "SIGKILL")
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    room.store.report(lease, {"epoch": 2})
    room.store.finish(lease, "failed", error='a "quoted" reason')
    async with asyncio.timeout(30):
        first, second = [await each for each in followers]
    assert first == second
    assert kinds(first) == ["state", "state", "progress", "state", "progress", "end"]
    assert first[3].data == '{"state":"running","attempt":2}'
    assert first[2].data == '{"epoch":1,"history":[{"epoch":1}]}'
    assert first[-1].data == '{"state":"failed","error":"a \\"quoted\\" reason"}'
    assert await follow(processes[0], J1._replace(after=first[2].id)) == first[3:]
    for each in processes:
        await each.aclose()


async def test_a_gap_is_told(room: Room) -> None:
    room.submit()
    lease = room.store.acquire("default", "j1", 60)
    assert lease is not None
    for epoch in range(4):
        room.store.report(lease, {"epoch": epoch})
    room.store.finish(lease, "cancelled")
    some = following(room)
    ids = [event.id for event in await follow(some)]
    room.client.xtrim(f"{room.prefix}:{{jobs}}:default/j1:events", maxlen=2, approximate=False)
    found = await follow(some, J1._replace(after=ids[1]))
    assert [(event.kind, event.data) for event in found[:1]] == [("gap", '{"missed": 3}')]
    assert kinds(found) == ["gap", "progress", "end"]


async def test_the_end_is_told_without_stored_events(room: Room) -> None:
    room.submit()
    room.store.cancel("default", "j1")
    room.client.delete(f"{room.prefix}:{{jobs}}:default/j1:events")
    assert await follow(following(room)) == [JobEvent("", "end", '{"state": "cancelled"}')]


async def test_silence_deletion_and_the_stop_of_the_service(room: Room) -> None:
    room.submit()
    some = following(room, most=1)
    follower = await some.follow(J1)
    events = some.events(follower)
    assert (await anext(events)) is not None
    assert await anext(events) is None, "a heartbeat"
    with pytest.raises(Overloaded):
        await some.follow(J1)
    room.client.delete(f"{room.prefix}:{{jobs}}:default/j1")
    async with asyncio.timeout(30):
        assert kinds([event async for event in events if event is not None]) == ["deleted"]
    some.unfollow(follower)
    with pytest.raises(JobUnknown):
        await some.follow(J1)
    room.submit()
    follower = await some.follow(J1)
    events = some.events(follower)
    await anext(events)
    await some.aclose()
    assert await anext(events) == JobEvent("", "stopping", "{}")
    with pytest.raises(Overloaded):
        await some.follow(J1)


async def test_a_lost_store_ends_the_events(room: Room) -> None:
    room.submit()
    some = following(room)
    follower = await some.follow(J1)
    events = some.events(follower)
    await anext(events)
    some._store = RedisJobEvents(sync_client("unix:///nowhere.sock"), room.prefix)
    with pytest.raises(StoreUnavailable):
        _ = [event async for event in events]
    await some.aclose()
