"""Faults of the service itself: the requests that they affect get an error, and the others are answered."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
import redis

from cellar.errors import StoreCorrupt
from cellar.ports import APPEND, Floats, Identity, ModelVersion, SessionKey
from cellar.sessions.execution import kernel_batch
from cellar.sessions.execution.micro_batcher import MicroBatcher
from cellar.sessions.requests.request import PendingSteps
from cellar.sessions.scheduling import join_waiting, lifecycle
from cellar.sessions.scheduling.lifecycle import Lifecycle
from cellar.sessions.scheduling.session_queues import SessionCache
from cellar.sessions.scheduling.step_rules import StepRules
from cellar.store.sessions.commits.fast_path import FastCommitEncoder
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_STATE, ExactModel, ExactModels, history
from tests.sessions.session_calls import a_sequence, begin, output, step

pytestmark = [pytest.mark.anyio, pytest.mark.pure]

FAULT = "a fault that the test has put there"
SESSIONS = 5


@dataclass(frozen=True)
class Place:
    """A function that raises once (`times`), when it is called for the session that `of` finds in its arguments."""

    owner: Any
    name: str
    of: Callable[..., SessionKey]
    times: int = 1

    def put(self, monkeypatch: pytest.MonkeyPatch, victim: SessionKey | None) -> list[object]:
        """Put it there, for one session or for whoever comes first. Return what notes that it was met."""
        real, met = getattr(self.owner, self.name), list[object]()

        def raising(*arguments: Any, **others: Any) -> Any:
            if len(met) < self.times and victim in (None, self.of(*arguments)):
                met.append(arguments)
                raise RuntimeError(FAULT)
            return real(*arguments, **others)

        monkeypatch.setattr(self.owner, self.name, raising)
        return met


def anybody(*_: object) -> SessionKey:
    return SessionKey("", "")


OF_ONE = [
    Place(lifecycle, "steps_commit", lambda ran, *_: ran.record.key),
    Place(Lifecycle, "_add_commit", lambda _, __, one, *___: one.key),
    Place(Lifecycle, "_run_or_fetch", lambda _, one, __: one.key),
    Place(Lifecycle, "_run", lambda _, one, *__: one.key),
    Place(StepRules, "check_steps", lambda _, one, *__: one.key),
    Place(StepRules, "join", lambda _, one, *__: one.key),
    Place(Lifecycle, "_end_commit", lambda _, one, *__: one.key),
    Place(lifecycle, "answer", lambda requests, _, __: requests[0].key),
    Place(SessionCache, "set_record", lambda _, one, __: one.key),
    Place(FastCommitEncoder, "encode", lambda _, commit: commit.before.key, times=2),
    Place(kernel_batch.BatchItem, "note_position", lambda ran, _: ran.record.key),
]
"""Where it concerns one session."""

OF_ALL = [
    Place(MicroBatcher, "_next", anybody),
    Place(MicroBatcher, "is_prompt", anybody),
    Place(kernel_batch, "run_together", anybody),
]
"""Where it concerns whoever goes together."""


async def outcomes(waiting: Sequence[PendingSteps]) -> list[list[float] | str]:
    """Return the answers, errors as their names, once all have come."""
    found: list[list[float] | str] = []
    async with asyncio.timeout(20):
        for each in waiting:
            try:
                found.append(output(await each))
            except Exception as error:
                found.append(type(error).__name__)
    return found


def step_all(service: Service, keys: Sequence[SessionKey], value: float) -> list[PendingSteps]:
    """Submit two steps for each session, all at once."""
    with service.sessions.steps.together():
        return [service.sessions.ask(key, "step", a_sequence(value), APPEND) for key in (*keys, *keys)]


def waiting(service: Service) -> int:
    """Return how many waiting requests the service counts."""
    return service.sessions._scheduler.admission.waiting


async def begun(service: Service) -> list[SessionKey]:
    keys = [await begin(service) for _ in range(SESSIONS)]
    for key in keys:
        await step(service, key, 0)
    return keys


@pytest.mark.parametrize("place", OF_ONE, ids=lambda place: place.name)
async def test_a_fault_in_one_session_concerns_no_other(
    service: Service, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    keys = await begun(service)
    victim, others = keys[1], [*keys[:1], *keys[2:]]
    met = place.put(monkeypatch, victim)
    told = await outcomes(step_all(service, keys, 1))
    assert met
    assert any(each in ("RuntimeError", "StoreCorrupt") for each in (told[1], told[1 + SESSIONS]))
    good = [told[index] for index in range(2 * SESSIONS) if index % SESSIONS != 1]
    assert good == [history([0, 1])] * len(others) + [history([0, 1, 1])] * len(others)
    assert waiting(service) == 0
    again = await outcomes([service.sessions.ask(victim, "step", a_sequence(2), APPEND)])
    assert isinstance(again[0], list)
    assert waiting(service) == 0


@pytest.mark.parametrize("place", OF_ALL, ids=lambda place: place.name)
@pytest.mark.parametrize("prompt", [False, True])
async def test_a_fault_that_concerns_all_is_told_to_all(
    service: Service, monkeypatch: pytest.MonkeyPatch, place: Place, prompt: bool
) -> None:
    service.models.network.flops = 1 if prompt else 10**9
    keys = await begun(service)
    met = place.put(monkeypatch, None)
    told = await outcomes(step_all(service, keys, 1))
    assert len(told) == 2 * SESSIONS
    assert met
    assert waiting(service) == 0
    assert all(isinstance(each, list) for each in await outcomes(step_all(service, keys, 2)))
    assert waiting(service) == 0


async def test_a_record_that_cannot_be_read_is_its_own_sessions_error(
    redis_url: str, start_service: StartService, redis_client: "redis.Redis"
) -> None:
    """Another process has moved the session on, and has written what this version cannot read."""
    service, other = start_service(redis_url), start_service(redis_url)
    keys = await begun(service)
    victim = keys[1]
    record = service.store.keys.record(victim)
    await step(other, victim, 5)
    for damaged in (b"[1]", b"[1,2,3,4,5,6,7,8,9,10,11,12,13,14]", b"7", b"{}", b'[1,[],"a",{},null]', b"\xff"):
        good = redis_client.hget(record, "m")
        assert isinstance(good, bytes)
        redis_client.hset(record, "m", damaged)
        told = await outcomes(step_all(service, keys, 1))
        assert [told[1], told[1 + SESSIONS]] == ["StoreCorrupt"] * 2
        assert sum(isinstance(each, list) for each in told) == 2 * (SESSIONS - 1)
        with pytest.raises(StoreCorrupt):
            await service.sessions.get(victim)
        redis_client.hset(record, "m", good)
        await step(service, victim, 6)
        await step(other, victim, 5)
        assert waiting(service) == 0


async def test_whoever_waits_and_raises_keeps_no_answer_from_others(service: Service) -> None:
    keys = await begun(service)

    def raising(_: PendingSteps) -> None:
        raise RuntimeError(FAULT)

    coming = step_all(service, keys, 1)
    for each in coming[:3]:
        each.when_done(raising)
    assert all(isinstance(each, list) for each in await outcomes(coming))
    assert waiting(service) == 0


async def test_a_load_that_fails_is_told_to_all_who_wait_for_it(redis_url: str, start_service: StartService) -> None:
    class Failing(ExactModels):
        fails = False

        def load(self, version: ModelVersion) -> ExactModel:
            if self.fails:
                raise RuntimeError(FAULT)
            return super().load(version)

    models = Failing()
    first, second = start_service(redis_url), start_service(redis_url, models=models)
    keys = [await begin(first) for _ in range(SESSIONS)]
    models.fails = True
    assert await outcomes(step_all(second, keys, 1)) == ["RuntimeError"] * 2 * SESSIONS
    assert waiting(second) == 0
    models.fails = False
    assert all(isinstance(each, list) for each in await outcomes(step_all(second, keys, 1)))


async def test_a_fault_in_a_step_that_others_wait_behind(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that are numbered and went together: the first is told, and those behind it get an answer of their own."""
    key = await begin(service)
    Place(join_waiting, "_follows", anybody).put(monkeypatch, None)
    with service.sessions.steps.together():
        coming = [service.sessions.ask(key, "step", a_sequence(value), Identity(step=value)) for value in range(4)]
    told = await outcomes(coming)
    assert told[0] == "RuntimeError"
    assert waiting(service) == 0
    assert output(await step(service, key, 7))


async def test_steps_that_run_again_because_one_was_bad_are_told_of_a_fault(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await begin(service)
    real, calls = kernel_batch.BatchItem.note_position, count()

    def raising(ran: kernel_batch.BatchItem, chunk: Floats) -> None:
        if ran.inputs.flat[0] == 1 and next(calls):  # first all of them run, and then those before the bad one
            raise RuntimeError(FAULT)
        real(ran, chunk)

    monkeypatch.setattr(kernel_batch.BatchItem, "note_position", raising)
    with service.sessions.steps.together():
        coming = [service.sessions.ask(key, "step", a_sequence(value), APPEND) for value in (1, BAD_STATE, 3)]
    assert await outcomes(coming) == ["RuntimeError", "StateNotFinite", history([3])]
    assert waiting(service) == 0


async def test_what_runs_and_is_not_committed_is_told_of_its_fault(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await begin(service)
    record, *_ = await service.sessions.look(key)
    Place(kernel_batch.BatchItem, "note_position", lambda ran, _: ran.record.key).put(monkeypatch, key)
    with pytest.raises(RuntimeError, match=FAULT):
        await service.sessions.attempt(record, a_sequence(1, 2))
    assert waiting(service) == 0
    assert (await service.sessions.attempt(record, a_sequence(1, 2))).after.position.step == 2
