"""Commits on their way: few at a time, and none that is late holds up the others."""

import asyncio

import pytest
from redis.crc import key_slot

from cellar.runtime.flights import MOST, Flights
from tests.redis_cluster import RedisCluster
from tests.runtime.conftest import StartService
from tests.runtime.session_calls import begin, step

pytestmark = pytest.mark.anyio


async def test_who_waits_goes_on_when_a_flight_ends_once() -> None:
    flights, gone = Flights(), list[str]()
    flying = [flights.begin() for _ in range(MOST)]
    assert flights.full
    flights.when_room(lambda: gone.append("first"))
    flights.when_room(lambda: gone.append("second"))
    assert not gone
    flights.end(flying[0])
    assert gone == ["first", "second"]
    flights.begin()
    flights.end(flying[0])
    assert flights.full, "it had ended before"


async def test_flights_that_are_late_hold_up_nobody() -> None:
    flights, gone = Flights(), asyncio.Event()
    flying = [flights.begin() for _ in range(MOST)]
    flights.when_room(gone.set)
    await gone.wait()
    assert not flights.full
    for flight in flying:
        flights.end(flight)
    assert not flights.full


async def test_a_primary_that_hangs_holds_up_only_its_own_sessions(
    redis_cluster: RedisCluster, start_service: StartService
) -> None:
    service = start_service(redis_cluster.url, patience_s=60)
    service.models.network.flops = 1  # run in the loop: every tick is committed by itself
    keys = [await begin(service) for _ in range(24)]
    owners = [redis_cluster.owner(key_slot(service.store.keys.record(key))) for key in keys]
    hanging = redis_cluster.primaries[1]
    theirs = [key for key, owner in zip(keys, owners, strict=True) if owner is hanging]
    others = [key for key, owner in zip(keys, owners, strict=True) if owner is not hanging]
    assert len(theirs) > MOST
    waiting = []
    with hanging.hangs():
        for key in theirs:
            waiting.append(asyncio.create_task(step(service, key, 1)))
            await asyncio.sleep(0.01)  # a tick for each, as far as ticks may fly
        for _ in range(3):
            await asyncio.gather(*[step(service, key, 1) for key in others])
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
