"""A request that must not happen unless an earlier one does."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cellar.errors import DeadlineExceeded, NotReached, StateNotFinite
from cellar.ports import APPEND, Identity, StepResult
from tests.sessions.conftest import Service
from tests.sessions.exact import BAD_STATE, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, begin, output, state, step

pytestmark = pytest.mark.anyio

Shut = Callable[[], Gate]


async def outcome(waiting: Awaitable[StepResult]) -> list[float] | type[Exception]:
    """Return the output, or the class of the error."""
    try:
        return output(await waiting)
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("apart", [False, True])
async def test_behind_a_failure_it_is_not_applied(service: Service, shut: Shut, apart: bool) -> None:
    """Neither with those that it waits with nor when it comes later."""
    key = await begin(service)
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    bad = service.sessions.ask(key, "step", a_sequence(BAD_STATE), APPEND)
    if apart:
        gate.open()
        assert await outcome(bad) is StateNotFinite
    second = service.sessions.ask(key, "step", a_sequence(1), Identity(step=1), after=bad)
    third = service.sessions.ask(key, "step", a_sequence(2), Identity(step=2), after=second)
    other = service.sessions.ask(key, "step", a_sequence(3), APPEND)
    gate.open()
    assert output(await first) == history([0])
    assert [await outcome(each) for each in (second, third, other)] == [NotReached, NotReached, history([0, 3])]
    assert await state(service, key) == history([0, 3])


async def test_behind_success_it_is_applied_with_it(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    first = service.sessions.ask(key, "step", a_sequence(0), APPEND)
    await gate.reached()
    second = service.sessions.ask(key, "step", a_sequence(1), APPEND, after=first)
    third = service.sessions.ask(key, "step", a_sequence(2), APPEND, after=second)
    gate.open()
    assert [await outcome(each) for each in (second, third)] == [history([0, 1]), history([0, 1, 2])]
    assert service.models.network.calls == [(1, 1), (2, 1)]


async def test_giving_up_counts_as_failure(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    late = service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=0.05)
    behind_late = service.sessions.ask(key, "step", a_sequence(2), APPEND, after=late)
    given_up = service.sessions.ask(key, "step", a_sequence(3), APPEND)
    behind_given_up = service.sessions.ask(key, "step", a_sequence(4), APPEND, after=given_up)
    given_up.cancel()
    assert await outcome(late) is DeadlineExceeded
    gate.open()
    assert [await outcome(each) for each in (behind_late, behind_given_up)] == [NotReached, NotReached]
    assert output(await first) == await state(service, key) == history([0])
