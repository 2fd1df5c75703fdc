"""Few commits fly at a time, unless those on their way do not come back."""

import asyncio

import pytest

from cellar.runtime.flights import Flights
from tests.runtime.session_calls import until

pytestmark = pytest.mark.anyio


async def test_who_waits_is_called_when_one_has_landed() -> None:
    flights, called = Flights(2, overdue_s=3600), list[int]()
    first, _ = flights.begin(), flights.begin()
    assert flights.is_full()
    flights.when_room(lambda: called.append(1))
    assert not called
    flights.end(first)
    assert called == [1]
    assert not flights.is_full()


async def test_one_that_is_overdue_is_not_waited_for() -> None:
    flights, called = Flights(2, overdue_s=0.05), list[int]()
    lost = [flights.begin() for _ in range(5)]
    flights.when_room(lambda: called.append(1))
    assert flights.is_full()
    await until(lambda: bool(called))
    assert not flights.is_full()
    late = [flights.begin() for _ in range(2)]
    assert flights.is_full()
    for number in [*lost, *late]:
        flights.end(number)
    assert not flights.is_full()


async def test_who_was_called_may_begin_at_once_and_the_next_one_waits() -> None:
    flights, begun = Flights(1, overdue_s=3600), list[int]()

    def go() -> None:
        if flights.is_full():
            flights.when_room(go)
        else:
            begun.append(flights.begin())

    first = flights.begin()
    flights.when_room(go)
    flights.when_room(go)
    flights.end(first)
    await asyncio.sleep(0)
    assert len(begun) == 1
    flights.end(begun[0])
    assert len(begun) == 2
