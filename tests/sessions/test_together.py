"""Requests that wait in one session go together: one call of the kernel, one commit, and an answer for each."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cellar.errors import (
    CellarError,
    DeadlineExceeded,
    FingerprintMismatch,
    Overloaded,
    StateNotFinite,
    StepTaken,
    WriterUnknown,
)
from cellar.ports import APPEND, Identity, SessionKey, StepResult
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_STATE, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, at, begin, output, position, state, step

pytestmark = pytest.mark.anyio

Shut = Callable[[], Gate]


async def all_of(waiting: Sequence[Awaitable[StepResult]]) -> list[StepResult | BaseException]:
    async def one(each: Awaitable[StepResult]) -> StepResult:
        return await each

    return await asyncio.gather(*[one(each) for each in waiting], return_exceptions=True)


def values_of(answers: Sequence[StepResult | BaseException]) -> list[list[float] | str]:
    return [answer.slug if isinstance(answer, CellarError) else _output(answer) for answer in answers]


def _output(answer: StepResult | BaseException) -> list[float]:
    assert isinstance(answer, StepResult)
    return output(answer)


async def behind(
    service: Service, shut: Shut, key: SessionKey, *requests: tuple[Sequence[float], Identity]
) -> list[StepResult | BaseException]:
    """Send requests while a step of 0 of the session is at the gate; return their answers."""
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    waiting = [
        service.sessions.ask(key, "step" if len(values) == 1 else "sequence", a_sequence(*values), identity)
        for values, identity in requests
    ]
    gate.open()
    assert output(await first) == history([0])
    return await all_of(waiting)


async def test_steps_that_wait_run_in_one_call_and_are_answered_one_by_one(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(service, shut, key, *[([value], APPEND) for value in range(1, 11)])
    assert values_of(answers) == [history(range(last + 1)) for last in range(1, 11)]
    assert service.models.network.calls == [(1, 1), (10, 1)]
    assert (await position(service, key)).step == 11
    assert await state(service, key) == history(range(11))
    assert [answer.position.step for answer in answers if isinstance(answer, StepResult)] == list(range(2, 12))


async def test_steps_that_come_together_wait_for_nothing(service: Service) -> None:
    one, other = await begin(service), await begin(service)
    with service.sessions.steps.together():
        waiting = [
            service.sessions.ask(key, "step", a_sequence(value), APPEND) for value in (1, 2, 3) for key in (one, other)
        ]
        waiting[-1].cancel()
        with service.sessions.steps.together():  # whoever is inside another one ends with it
            waiting.append(service.sessions.ask(one, "step", a_sequence(4), APPEND))
        assert not service.models.network.calls
    answers = await all_of(waiting)
    assert values_of(answers[:-2]) == [history(values) for values in ([1], [1], [1, 2], [1, 2], [1, 2, 3])]
    assert _output(answers[-1]) == history([1, 2, 3, 4])
    assert service.models.network.calls == [(4, 1), (2, 1)]


async def test_they_have_the_positions_that_they_would_have_had_alone(service: Service, shut: Shut) -> None:
    alone, together = await begin(service), await begin(service)
    for value in range(4):
        await step(service, alone, value)
    answers = await behind(service, shut, together, *[([value], APPEND) for value in (1, 2, 3)])
    last = answers[-1]
    assert isinstance(last, StepResult)
    assert last.position == await position(service, together)
    again = await step(service, together, 9, at(last.position))
    assert output(again) == history([0, 1, 2, 3, 9])


async def test_sequences_and_steps_go_together(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(service, shut, key, ([1, 2], APPEND), ([3], Identity(step=3)), ([4, 5, 6], APPEND))
    assert values_of(answers) == [history([0, 1, 2]), history([0, 1, 2, 3]), history(range(7))]
    assert service.models.network.calls == [(1, 1), (6, 1)]


async def test_sessions_with_different_numbers_of_requests_share_a_call(service: Service, shut: Shut) -> None:
    keys = [await begin(service) for _ in range(3)]
    for key in keys:
        await step(service, key, 0)
    gate = shut()
    first = asyncio.create_task(step(service, keys[0], 0))
    await gate.reached()
    waiting = [
        service.sessions.ask(key, "step", a_sequence(1), APPEND)
        for key, count in zip(keys, (5, 6, 7), strict=True)
        for _ in range(count)
    ]
    gate.open()
    await asyncio.gather(first, all_of(waiting))
    assert [await state(service, key) for key in keys] == [
        history([0, 0, *[1] * 5]),
        history([0, *[1] * 6]),
        history([0, *[1] * 7]),
    ]
    assert len(service.models.network.calls) < 4 + 18 // 2


async def test_a_number_that_is_not_finite_is_its_own_requests_fault(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(service, shut, key, *[([value], APPEND) for value in (1, 2, BAD_STATE, 3)])
    assert isinstance(answers[2], StateNotFinite)
    assert values_of(answers) == [history([0, 1]), history([0, 1, 2]), "state_not_finite", history([0, 1, 2, 3])]
    assert await state(service, key) == history([0, 1, 2, 3])


async def test_a_request_in_the_wrong_place_is_told_so_and_the_others_go_on(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(service, shut, key, ([1], Identity(step=1)), ([2], Identity(step=1)), ([3], APPEND))
    assert isinstance(answers[1], StepTaken)
    assert values_of(answers) == [history([0, 1]), "step_taken", history([0, 1, 3])]


async def test_a_step_that_names_a_position_waits_for_those_before_it(service: Service, shut: Shut) -> None:
    key = await begin(service)
    wrong = at(await position(service, key))
    answers = await behind(service, shut, key, ([1], APPEND), ([2], wrong), ([3], APPEND))
    assert values_of(answers) == [history([0, 1]), "step_taken", history([0, 1, 3])]


async def test_keys_resets_and_states_go_alone(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(service, shut, key, ([1], Identity(key="a")), ([2], Identity(key="b")), ([3], APPEND))
    assert values_of(answers) == [history([0, 1]), history([0, 1, 2]), history([0, 1, 2, 3])]
    assert service.models.network.calls == [(1, 1), (1, 1), (1, 1), (1, 1)]


async def test_a_caller_that_goes_away_harms_none_of_the_others(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    waiting = [service.sessions.ask(key, "step", a_sequence(value), APPEND) for value in (1, 2, 3)]
    waiting[1].cancel()
    gate.open()
    await first
    answers = await all_of([waiting[0], waiting[2]])
    assert values_of(answers) == [history([0, 1]), history([0, 1, 3])]


async def test_no_more_go_together_than_can_be_replayed(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, window=4)
    key = await begin(service)
    waiting = [service.sessions.ask(key, "step", a_sequence(value), Identity(step=value)) for value in range(10)]
    answers = await all_of(waiting)
    assert values_of(answers) == [history(range(value + 1)) for value in range(10)]
    assert max(steps for steps, _ in service.models.network.calls) == 4
    for value in (6, 7, 8, 9):
        assert (await step(service, key, value, Identity(step=value))).replayed


async def test_a_session_that_keeps_earlier_states_takes_its_requests_one_by_one(service: Service, shut: Shut) -> None:
    answer = await service.sessions.create("default", model="exact", history=4)
    key = answer.session.key
    answers = await behind(service, shut, key, ([1], APPEND), ([2], APPEND))
    assert values_of(answers) == [history([0, 1]), history([0, 1, 2])]
    assert service.models.network.calls == [(1, 1)] * 3


# --- writers --------------------------------------------------------------------------------------------------------


def by(writer: str, seq: int) -> Identity:
    return Identity(writer=writer, seq=seq)


async def test_writers_share_a_session_and_each_is_recognised(service: Service, shut: Shut) -> None:
    key = await begin(service)
    requests = [([1.0], by("a", 1)), ([2.0], by("b", 1)), ([3.0], by("a", 2)), ([4.0], by("b", 2))]
    answers = await behind(service, shut, key, *requests)
    assert values_of(answers) == [history(range(last + 1)) for last in range(1, 5)]
    assert service.models.network.calls == [(1, 1), (4, 1)]
    again = await all_of(
        [service.sessions.ask(key, "step", a_sequence(*values), identity) for values, identity in requests]
    )
    assert values_of(again) == values_of(answers)
    assert all(isinstance(answer, StepResult) and answer.replayed for answer in again)
    assert await state(service, key) == history(range(5))


async def test_a_writers_request_is_recognised_by_another_service(redis_url: str, start_service: StartService) -> None:
    one, other = start_service(redis_url), start_service(redis_url)
    key = await begin(one)
    await step(one, key, 1, by("a", 1))
    await step(other, key, 2, by("b", 1))
    assert (await step(one, key, 2, by("b", 1))).replayed
    assert output(await step(one, key, 3, by("b", 2))) == history([1, 2, 3])
    with pytest.raises(FingerprintMismatch):
        await step(other, key, 9, by("a", 1))
    with pytest.raises(WriterUnknown):
        await step(other, key, 9, by("c", 2))
    assert await state(other, key) == history([1, 2, 3])


async def test_a_writer_is_forgotten_when_64_others_have_written(service: Service) -> None:
    key = await begin(service)
    await step(service, key, 1, by("a", 1))
    for number in range(63):
        await step(service, key, 0, by(f"other-{number}", 1))
    assert (await step(service, key, 1, by("a", 1))).replayed
    await step(service, key, 0, by("last", 1))
    with pytest.raises(WriterUnknown):
        await step(service, key, 2, by("a", 2))
    assert not (await step(service, key, 1, by("a", 1))).replayed
    assert await state(service, key) == history([1, *[0] * 64, 1])


async def test_a_writer_in_flight_may_send_a_request_twice(service: Service, shut: Shut) -> None:
    key = await begin(service)
    answers = await behind(
        service, shut, key, ([1], by("a", 1)), ([2], by("a", 2)), ([2], by("a", 2)), ([3], by("a", 3))
    )
    assert values_of(answers) == [history([0, 1]), history([0, 1, 2]), history([0, 1, 2]), history([0, 1, 2, 3])]


@pytest.mark.parametrize(
    ("identity", "pointer"),
    [
        (Identity(writer="a"), "/seq"),
        (Identity(seq=1), "/writer"),
        (Identity(writer="a", seq=0), "/seq"),
        (Identity(writer="a\n", seq=1), "/writer"),
        (Identity(writer="a", seq=1, step=0), "/writer"),
        (Identity(writer="a", seq=1, key="k"), "/writer"),
    ],
)
async def test_half_an_identity_is_refused(service: Service, identity: Identity, pointer: str) -> None:
    key = await begin(service)
    with pytest.raises(CellarError) as caught:
        await step(service, key, 1, identity)
    assert caught.value.fields()["pointer"] == pointer


# --- deadlines ------------------------------------------------------------------------------------------------------


async def test_a_request_that_has_not_begun_in_time_is_not_applied(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    late = service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=0.01)
    patient = service.sessions.ask(key, "step", a_sequence(2), APPEND, deadline_s=60)
    with pytest.raises(DeadlineExceeded) as caught:
        await late
    assert caught.value.outcome == "not_applied"
    gate.open()
    assert output(await first) == history([0])
    assert output(await patient) == history([0, 2])


@pytest.mark.parametrize("known", [False, True])
async def test_what_has_begun_is_not_ended_by_its_deadline(service: Service, shut: Shut, known: bool) -> None:
    key = await begin(service)
    before = [0] if known else []  # a session that is at hand is begun as it is submitted
    for value in before:
        await step(service, key, value)
    gate = shut()
    running = service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=0.5)
    await gate.reached()
    await asyncio.sleep(0.6)
    gate.open()
    assert output(await running) == history([*before, 1])


async def test_what_is_refused_at_once_is_not_ended_by_its_deadline_as_well(
    redis_url: str, start_service: StartService
) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    service = start_service(redis_url, queue_limit=2)
    key = await begin(service)
    gate = Gate(service.models.network)
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    late = service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=0.02)
    with pytest.raises(Overloaded):
        service.sessions.ask(key, "step", a_sequence(2), APPEND, deadline_s=0.01)
    with pytest.raises(DeadlineExceeded):
        await late
    gc.collect()  # an error that was not read is reported then
    assert not unheard
    gate.open()
    assert output(await first) == history([0])


async def test_inputs_of_another_shape_are_refused_at_their_turn(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    first = asyncio.create_task(step(service, key, 0))
    await gate.reached()
    good = service.sessions.ask(key, "step", a_sequence(1), APPEND)
    wrong = service.sessions.ask(key, "step", np.ones((1, 2, 1), np.float32), APPEND)
    after = service.sessions.ask(key, "step", a_sequence(2), APPEND)
    gate.open()
    await first
    assert values_of(await all_of([good, wrong, after])) == [history([0, 1]), "shape_mismatch", history([0, 1, 2])]


async def test_a_caller_that_goes_away_in_a_call_with_a_bad_number_strands_no_other(
    service: Service, shut: Shut
) -> None:
    """What is left of the call is one that is not awaited, and what was behind the bad number must not go with it."""
    key = await begin(service)
    await step(service, key, 0)
    gate = shut()
    blocker = asyncio.create_task(step(service, await begin(service), 0))
    await gate.reached()
    held = service.sessions.ask(key, "step", a_sequence(1), APPEND)
    waiting = [service.sessions.ask(key, "step", a_sequence(value), APPEND) for value in (2, BAD_STATE, 3)]
    entered = len(service.models.network.calls)
    gate.open()
    await held
    waiting[0].cancel()
    await blocker
    answers = await all_of(waiting[1:])
    assert isinstance(answers[0], StateNotFinite)
    assert isinstance(answers[1], StepResult)
    assert len(service.models.network.calls) > entered


async def test_who_waits_no_more_makes_room_at_once(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, queue_limit=3)
    key = await begin(service)
    gate = Gate(service.models.network)
    running = service.sessions.ask(key, "step", a_sequence(1), APPEND)
    await gate.reached()
    late = service.sessions.ask(key, "step", a_sequence(2), APPEND, deadline_s=0.01)
    unloved = service.sessions.ask(key, "step", a_sequence(3), APPEND)
    with pytest.raises(Overloaded):
        service.sessions.ask(key, "step", a_sequence(4), APPEND)
    with pytest.raises(DeadlineExceeded):
        await late
    unloved.cancel()
    others = [service.sessions.ask(key, "step", a_sequence(value), APPEND) for value in (5, 6)]
    gate.open()
    assert [output(await each) for each in (running, *others)] == [history([1]), history([1, 5]), history([1, 5, 6])]
