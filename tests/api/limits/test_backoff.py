"""Connections that were refused under overload wait until they are read again. The clock is the test's own."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cellar.api.limits import backoff
from cellar.api.limits.backoff import A_SECOND, LONGEST_S, MOST_FREE, MOST_LATE, ROOM_S, SHARE, ReadBackoff
from cellar.errors import Overloaded
from cellar.sessions.requests.admission import Admission
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of what is tested."""
    clock = Clock()
    monkeypatch.setattr(backoff, "monotonic", clock)
    return clock


class Connection:
    """Notes when it is read again, and since when it was not."""

    def __init__(self, name: int, released: list[tuple[int, float]]) -> None:
        self.name = name
        self.released = released

    def read_again(self, since_s: float) -> None:
        self.released.append((self.name, since_s))


def refused(turns: ReadBackoff) -> ReadBackoff:
    """Use up the refusals that are free."""
    while not turns.must_wait():
        pass
    return turns


async def test_few_refusals_are_free(clock: Clock) -> None:
    turns = ReadBackoff()
    for _ in range(1000):
        clock.now_s += 2 / A_SECOND
        assert not turns.must_wait()
    assert sum(not turns.must_wait() for _ in range(100)) < 100
    turns.free += 10 * SHARE  # ten answers
    assert [turns.must_wait() for _ in range(3)] == [False, False, True]


async def test_of_many_that_are_refused_so_many_a_second_are_read_again_in_their_order(clock: Clock) -> None:
    turns = ReadBackoff()
    assert sum(not turns.must_wait() for _ in range(100)) == MOST_FREE
    released: list[tuple[int, float]] = []
    for name in range(50):
        assert turns.must_wait()
        turns.add("tenant", Connection(name, released).read_again)
    for count in (10, 20, 30):
        clock.now_s += 10.01 / A_SECOND
        assert turns.must_wait()
        # mypy infers no lambda with a default
        await until(lambda count=count: len(released) >= count)  # type: ignore[misc]
    assert released == [(name, 1000.0) for name in range(len(released))]
    clock.now_s += LONGEST_S
    await until(lambda: len(released) == 50)
    clock.now_s += 1
    assert not turns.must_wait()


async def test_no_request_waits_for_longer_than_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "A_SECOND", 0)
    turns, released = refused(ReadBackoff()), list[tuple[int, float]]()
    for name in range(100):
        assert turns.must_wait()
        turns.add("tenant", Connection(name, released).read_again)
    clock.now_s += LONGEST_S + 0.001
    await until(lambda: len(released) == 100)


async def test_when_there_is_room_those_that_wait_are_read_soon(clock: Clock) -> None:
    """The clock moves once: nothing but the room lets them go."""
    turns, released = refused(ReadBackoff()), list[tuple[int, float]]()
    for name in range(200):
        turns.add("tenant", Connection(name, released).read_again)
    clock.now_s += ROOM_S * 1.01
    await until(lambda: len(released) == 200)
    assert [name for name, _ in released] == list(range(200))


async def test_tenants_are_read_in_turn_so_that_many_of_one_delay_no_other(clock: Clock) -> None:
    turns, released = refused(ReadBackoff()), list[tuple[int, float]]()
    for name in range(50):
        turns.add("many", Connection(name, released).read_again)
    for name in (100, 101):
        turns.add("few", Connection(name, released).read_again)
    clock.now_s += ROOM_S * 1.01
    await until(lambda: len(released) == 52)
    assert [name for name, _ in released] == [0, 100, 1, 101, *range(2, 50)]


async def test_at_a_check_few_connections_are_read(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their requests come at once, and the requests of all other clients wait for them."""
    monkeypatch.setattr(backoff, "TICK_S", 1000)  # each check is called by the test
    turns, released = refused(ReadBackoff()), list[tuple[int, float]]()
    for name in range(100):
        turns.add("tenant", Connection(name, released).read_again)
    turns.must_wait()
    for count in (1, 2, 3):
        clock.now_s += 1 / A_SECOND
        turns._look()
        assert abs(len(released) - count) <= 1
    monkeypatch.setattr(backoff, "A_SECOND", 0)
    turns.free = 0
    clock.now_s += LONGEST_S
    while turns.waiting:
        turns.must_wait()
        before = len(released)
        turns._look()
        assert 0 < len(released) - before <= MOST_LATE
    assert [name for name, _ in released] == list(range(100))


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that the tests of this file share."""
    async with serving(with_own_keys(settings)) as served:
        yield served


@pytest.mark.pure
async def test_who_is_refused_again_and_again_is_read_later_and_loses_nothing(
    served: Served, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise Overloaded("too many requests are waiting", retry_after_s=7)

    session = await served.begin()
    turns = served.app.state.load.backoff
    async with connected(served) as client:
        client.writer.write(request(session, step(1, 2)))
        assert (await client.answer()).status == 200
        connection = of_the_service(served, client)
        with monkeypatch.context() as full:
            full.setattr(Admission, "check", refuse)
            count = 0
            while not turns.waiting:
                client.writer.write(request(session, step(1, 2)))
                answer = await client.answer()
                assert (answer.status, answer.headers["retry-after"]) == (503, "7")
                assert (answer.body["outcome"], answer.body["type"]) == ("not_applied", "urn:cellar:problem:overloaded")
                count += 1
        assert count <= MOST_FREE + 1
        assert not connection.transport.is_reading()
        client.writer.write(request(session, step(1, 2), b"Cellar-Timeout-Ms: 60000"))
        await client.writer.drain()
        clock.now_s += LONGEST_S + 1
        answer = await client.answer()
        assert (answer.status, answer.body["step"]) == (200, 2)
        assert connection.transport.is_reading()
        assert not turns.waiting
        client.writer.write(request(session, step(1, 2)))
        assert (await client.answer()).body["step"] == 3


async def test_what_lay_in_the_socket_for_too_long_is_late_and_the_next_one_is_taken(
    served: Served, clock: Clock
) -> None:
    session = await served.begin()
    turns = served.app.state.load.backoff
    async with connected(served) as client:
        for _ in range(2):
            client.writer.write(request(session, step(1, 2), b"Cellar-Timeout-Ms: 60000"))
            assert (await client.answer()).status == 200
        connection = of_the_service(served, client)
        clock.now_s = time.monotonic() - 1000
        refused(turns)
        connection.back_off("default")
        assert not connection.transport.is_reading()
        client.writer.write(request(session, step(1, 2), b"Cellar-Timeout-Ms: 60000"))
        await client.writer.drain()
        clock.now_s = time.monotonic() + LONGEST_S + 1  # what lies in the socket came long ago
        answer = await client.answer()
        assert (answer.status, answer.body["outcome"]) == (504, "not_applied")
        assert connection.transport.is_reading()
        client.writer.write(request(session, step(1, 2), b"Cellar-Timeout-Ms: 60000"))
        answer = await client.answer()
        assert (answer.status, answer.body["step"]) == (200, 3)
