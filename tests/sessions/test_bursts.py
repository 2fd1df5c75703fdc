"""Steps that come together as a burst end as they would have one by one, whatever becomes of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cellar.errors import CellarError, NotFound, NotReached, ShapeMismatch
from cellar.ports import APPEND, Identity, SessionKey, StepResult
from cellar.sessions.forwarding.forwarded import PendingBatch
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.values.position import advance
from tests.redis_process import RedisProcess
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_OUTPUT, BAD_STATE, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, at, begin, position, state, step

pytestmark = pytest.mark.anyio

Told = tuple[int, bool, list[float]] | str

Send = Callable[[Service, SessionKey, Sequence[float], int | None], Awaitable[list[Told]]]


def told(outcome: StepResult | BaseException) -> Told:
    """Return what a client is told of a step."""
    if isinstance(outcome, CellarError):
        return outcome.slug
    assert isinstance(outcome, StepResult)
    assert outcome.output is not None
    assert outcome.steps == 1
    numbers: list[float] = np.frombuffer(outcome.output, np.float32).tolist()
    return outcome.position.step, outcome.replayed, numbers


async def ended(pending: PendingSteps) -> None:
    """Wait for the end of a request, whatever it is."""
    await asyncio.gather(pending, return_exceptions=True)


async def as_one(service: Service, key: SessionKey, values: Sequence[float], first: int | None) -> list[Told]:
    batch = service.sessions.ask_batch(key, a_sequence(*values), first)
    await ended(batch)
    return [told(outcome) for outcome in batch.outcomes]


async def one_by_one(service: Service, key: SessionKey, values: Sequence[float], first: int | None) -> list[Told]:
    sent: list[PendingSteps] = []
    with service.sessions.steps.together():
        for index, value in enumerate(values):
            identity = APPEND if first is None else Identity(step=first + index)
            after = sent[-1] if sent and first is not None else None
            sent.append(service.sessions.ask(key, "step", a_sequence(value), identity, after=after))
    for pending in sent:
        await ended(pending)
    return [told(pending.outcome) for pending in sent]


@pytest.mark.parametrize("options", [{}, {"history": 3}, {"log": 100}, {"events": 100}], ids=str)
@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([4], None),
        ([4, 5, 6, 7, 8], None),
        ([4, 5, 6, 7, 8], 3),
        ([2, 3, 4, 5, 6], 1),  # the first two were there before
        ([1, 2, 3], 0),
        ([9, 9, 9, 9], 1),  # another step is there
        ([4, 5, 6, 7], 5),  # two steps are missing
        ([4, BAD_STATE, 5, 6], None),
        ([BAD_OUTPUT, 4, 5, 6], None),
        ([4, 5, BAD_STATE, 6], 3),
        ([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], None),  # more than one commit may have
        ([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 3),
    ],
)
async def test_a_burst_is_its_steps(
    redis_url: str, start_service: StartService, values: list[float], first: int | None, options: dict[str, Any]
) -> None:
    ends = []
    for send in (as_one, one_by_one):
        service = start_service(redis_url, window=8)
        key = await begin(service, **options)
        assert await send(service, key, [1, 2, 3], 0) == [(at, False, history(range(1, at + 1))) for at in (1, 2, 3)]
        answers = await send(service, key, values, first)
        ends.append((answers, (await position(service, key)).step, await state(service, key)))
        since = await start_service(redis_url, window=8).store.since(key, (await position(service, key)), None)
        assert since[1] == []
    assert ends[0] == ends[1]


@pytest.mark.parametrize("send", [as_one, one_by_one])
async def test_who_does_not_know_the_session_asks_first(
    redis_url: str, start_service: StartService, send: Send
) -> None:
    key = await begin(start_service(redis_url))
    assert await send(start_service(redis_url), key, [1, 2, 3], None) == [
        (at, False, history(range(1, at + 1))) for at in (1, 2, 3)
    ]
    again = await send(start_service(redis_url), key, [5, 6, 7], 3)
    assert [answer[0] for answer in again] == [4, 5, 6]


@pytest.mark.parametrize("first", [None, 3])
async def test_a_burst_that_loses_the_race_is_taken_apart(
    redis_url: str, start_service: StartService, first: int | None
) -> None:
    """Another process has stepped meanwhile: what appends goes behind that, what is numbered conflicts."""
    ends = []
    for send in (as_one, one_by_one):
        mine, other = start_service(redis_url), start_service(redis_url)
        key = await begin(mine)
        await as_one(mine, key, [1, 2, 3], None)
        await step(other, key, 4)
        ends.append((await send(mine, key, [5, 6, 7, 8], first), await state(mine, key)))
    assert ends[0] == ends[1]
    expected: list[Told] = [(at, False, history([1, 2, 3, 4, *range(5, at + 1)])) for at in (5, 6, 7, 8)]
    assert ends[0][0] == (expected if first is None else ["step_taken", *["not_reached"] * 3])


async def test_bursts_and_steps_that_wait_go_together(service: Service, shut: Callable[[], Gate]) -> None:
    key, gate = await begin(service), shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    waiting: list[PendingSteps] = [
        service.sessions.ask_batch(key, a_sequence(1, 2, 3), 1),
        service.sessions.ask_batch(key, a_sequence(4, 5), None),
        service.sessions.ask(key, "step", a_sequence(6), Identity(step=6)),
        service.sessions.ask_batch(key, a_sequence(*range(7, 40)), None),
    ]
    gate.open()
    await first
    for pending in waiting:
        await ended(pending)
    outcomes = [each for one in waiting for each in (one.outcomes if isinstance(one, PendingBatch) else [one.outcome])]
    assert [told(outcome) for outcome in outcomes] == [(at, False, history(range(at))) for at in range(2, 41)]
    assert service.models.network.calls[:2] == [(1, 1), (6, 1)]
    assert await state(service, key) == history(range(40))


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("sizes", [(1, 2, 3), (4, 1), (1, 1, 1), (3, 1, 4)])
async def test_a_burst_of_one_step_goes_with_others(
    service: Service, shut: Callable[[], Gate], sizes: Sequence[int], numbered: bool
) -> None:
    """Where a frame is cut by the window, one step may be left of several."""
    key, gate = await begin(service), shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    waiting: list[PendingBatch] = []
    for size in sizes:
        number = 1 + sum(batch.count for batch in waiting)
        values = range(number, number + size)
        waiting.append(service.sessions.ask_batch(key, a_sequence(*values), number if numbered else None))
    gate.open()
    stands = (await first).position
    for batch in waiting:
        await ended(batch)
        for value, outcome in zip(
            a_sequence(*range(stands.step, stands.step + batch.count)), batch.outcomes, strict=True
        ):
            assert isinstance(outcome, StepResult)
            stands = advance(stands, value[None])
            assert outcome.position == stands
    assert await position(service, key) == stands
    assert service.models.network.calls == [(1, 1), (sum(sizes), 1)]


async def test_every_step_of_a_burst_is_remembered(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url)
    key = await begin(service)
    begun = await position(service, key)
    await as_one(service, key, [1, 2, 3, 4, 5], 0)
    since = await service.sessions.since(key, begun)
    assert [(each.position.step, each.steps) for each in since.missed] == [(at, 1) for at in range(1, 6)]
    for who in (service, start_service(redis_url)):
        for number in (0, 3):
            answer = await step(who, key, number + 1, Identity(step=number))
            assert answer.replayed
            assert answer.position == since.missed[number].position
        assert await as_one(who, key, [4, 5], 3) == [(at, True, history(range(1, at + 1))) for at in (4, 5)]


async def test_a_burst_stands_where_its_steps_would(service: Service) -> None:
    alone, together = await begin(service), await begin(service)
    last = await position(service, alone)
    for value in range(5):
        last = (await step(service, alone, value, at(last))).position
    await as_one(service, together, range(5), None)
    assert (await position(service, together)).step == last.step == 5
    again = await step(service, together, 9, at(await position(service, together)))
    assert not again.replayed


async def test_a_burst_that_is_not_awaited_any_more(service: Service, shut: Callable[[], Gate]) -> None:
    key, gate = await begin(service), shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    given_up = service.sessions.ask_batch(key, a_sequence(1, 2, 3), None)
    given_up.cancel()
    behind = service.sessions.ask_batch(key, a_sequence(4, 5), 1)
    gate.open()
    await asyncio.gather(first, ended(behind))
    assert await state(service, key) == history([0, 4, 5])
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in given_up.outcomes)


async def test_a_burst_that_is_taken_apart_when_it_is_not_awaited_is_left_alone(
    service: Service, shut: Callable[[], Gate]
) -> None:
    key, gate = await begin(service), shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    given_up = service.sessions.ask_batch(key, a_sequence(1, BAD_STATE, 2), None)
    behind = service.sessions.ask_batch(key, a_sequence(4, 5), None)
    together = shut()
    gate.open()
    await together.reached()
    given_up.cancel()
    together.open()
    await asyncio.gather(first, ended(behind))
    assert await state(service, key) == history([0, 4, 5])


async def test_behind_a_request_that_fails_no_numbered_step_is_reached(
    service: Service, shut: Callable[[], Gate]
) -> None:
    key, gate = await begin(service), shut()
    first = service.sessions.ask(key, "step", a_sequence(BAD_STATE), Identity(step=0))
    await gate.reached()
    behind = service.sessions.ask_batch(key, a_sequence(1, 2), 1, after=first)
    gate.open()
    await ended(behind)
    assert all(isinstance(outcome, NotReached) for outcome in behind.outcomes)
    assert (await position(service, key)).step == 0


async def test_what_is_wrong_with_all_is_told_to_each(service: Service) -> None:
    two_rows = await begin(service, 2)
    batch = service.sessions.ask_batch(two_rows, a_sequence(1, 2), None)
    await ended(batch)
    assert [type(outcome) for outcome in batch.outcomes] == [ShapeMismatch] * 2
    nobody = service.sessions.ask_batch(SessionKey("default", "nobody"), a_sequence(1, 2), None)
    await ended(nobody)
    assert all(isinstance(outcome, NotFound) for outcome in nobody.outcomes)


async def test_without_the_store_all_steps_of_a_burst_are_told_so(
    redis_process: RedisProcess, start_service: StartService
) -> None:
    service = start_service(redis_process.url, patience_s=0.2)
    key = await begin(service)
    await as_one(service, key, [1, 2], None)
    redis_process.kill()
    assert await as_one(service, key, [3, 4, 5], None) == ["store_unavailable"] * 3
    redis_process.start()
    assert await as_one(service, key, [3, 4, 5], 2) == [(at, False, history(range(1, at + 1))) for at in (3, 4, 5)]
