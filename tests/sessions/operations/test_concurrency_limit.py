"""A request that waits for a place delays no other, and does not wait for long."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import numpy as np
import pytest

from cellar.errors import Overloaded
from cellar.ports import APPEND, SessionKey
from cellar.sessions.history.history import RewindTarget, SessionHistory
from cellar.sessions.history.replay_migrate import Replays
from cellar.sessions.operations.concurrency_limit import ConcurrencyLimit
from cellar.sessions.requests.request import StepRequest
from cellar.sessions.values.results import ChangeAnswer
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, begin, output, position, state, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio

Change = Callable[[Service, ConcurrencyLimit, SessionKey], Awaitable[ChangeAnswer]]


def migrate(service: Service, places: ConcurrencyLimit, key: SessionKey) -> Awaitable[ChangeAnswer]:
    stored = service.store, service.histories._history, service.store.uses
    replays = Replays(service.sessions, *stored, FakeClock(), kernel_rev=1, limit=places)
    return replays.migrate(key, "exact@3", "replay", APPEND)


def rewind(service: Service, places: ConcurrencyLimit, key: SessionKey) -> Awaitable[ChangeAnswer]:
    return SessionHistory(service.sessions, service.store, service.histories._history, limit=places).rewind(
        key, RewindTarget(step=1), APPEND
    )


@pytest.fixture(params=[migrate, rewind])
def change(request: pytest.FixtureRequest) -> Change:
    """Return what has to run a log."""
    found: Change = request.param
    return found


async def logged(service: Service, *values: float) -> SessionKey:
    key = await begin(service, model="exact@1", log=100)
    for value in values:
        await step(service, key, value)
    return key


async def test_one_that_waits_for_a_place_keeps_no_step_waiting(versions: Service, change: Change) -> None:
    key, other = await logged(versions, 1, 2), await logged(versions)
    places = ConcurrencyLimit()
    async with AsyncExitStack() as taken:
        for _ in range(2):
            await taken.enter_async_context(places.slot())
        waiting = asyncio.ensure_future(change(versions, places, key))
        async with asyncio.timeout(10):
            for value in (3, 4):
                assert output(await step(versions, key, value))
                assert output(await step(versions, other, value))
        assert not waiting.done()
    answer = await waiting
    assert answer.position == await position(versions, key)
    assert answer.position.step == 0
    stored = np.frombuffer((await versions.store.load(key)).state, "<f4").tolist()
    assert stored == history([1] if change is rewind else [1, 2, 3, 4])
    async with asyncio.timeout(5), places.slot(), places.slot():
        pass  # both are free again


async def test_steps_go_on_while_a_log_is_run_for_a_rewind(versions: Service) -> None:
    """Those that were run before the gate was reached are its own; the step waits for the kernel alone."""
    key = await logged(versions, 1, 2)
    gate = Gate(versions.models.network)
    running = asyncio.ensure_future(rewind(versions, ConcurrencyLimit(), key))
    await gate.reached()
    following = versions.sessions.ask(key, "step", a_sequence(3), APPEND)
    assert isinstance(following, StepRequest)
    assert following.leave is None, "it is on its way, behind no other of its session"
    gate.open()
    assert output(await following) == history([1, 2, 3])
    await running
    assert await state(versions, key) == history([1])


async def test_few_wait_and_not_for_long(versions: Service, change: Change) -> None:
    key = await logged(versions, 1, 2)
    places = ConcurrencyLimit(1, most_waiting=1, wait_s=0.05)
    async with places.slot():
        waiting = [asyncio.ensure_future(change(versions, places, key)) for _ in range(3)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
    said = [str(each) for each in told if isinstance(each, Overloaded)]
    assert len(said) == 3
    assert sum("are waiting" in each for each in said) == 2
    assert sum("kept this one waiting for 0.05 s" in each for each in said) == 1
    assert all(
        each.retry_after_s == 5 and each.outcome == "not_applied" for each in told if isinstance(each, Overloaded)
    )
    assert output(await step(versions, key, 3)) == history([1, 2, 3])
    assert (await change(versions, places, key)).position.step == 0


async def test_one_that_goes_away_gives_its_place_back(redis_url: str, start_service: StartService) -> None:
    service, places = start_service(redis_url, models=Versions()), ConcurrencyLimit(1, most_waiting=1)
    key = await logged(service, 1, 2)
    async with places.slot():
        gone = asyncio.ensure_future(migrate(service, places, key))
        while not places._waiting:  # noqa: ASYNC110  # nothing tells it
            await asyncio.sleep(0.002)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert (await migrate(service, places, key)).position.step == 0
