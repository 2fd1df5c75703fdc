"""Exactly once: many writers, two services, lost replies, a killed Redis; and the proof of the check."""

import asyncio
import dataclasses
import itertools
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import numpy as np
import pytest
import redis

from cellar.errors import ModelDeleted, Regressed, StoreUnavailable
from cellar.ports import APPEND, Identity, ModelVersion, SessionKey, StepResult
from cellar.sessions.values.deleted_model import known_of
from cellar.store.protocol.script import Script
from cellar.store.sessions.store import COMMIT
from tests.proxy import LossyProxy
from tests.redis_process import RedisProcess
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import ExactModel, ExactModels, ExactNetwork, after, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, at, begin, output, position, state, step, until_longer

pytestmark = pytest.mark.anyio

WRITERS = 16


@dataclass
class Acknowledged:
    """A request that was answered: its inputs, and what it was answered."""

    values: Sequence[float]
    answer: StepResult


async def check_exactly_once(service: Service, key: SessionKey, acknowledged: Sequence[Acknowledged]) -> None:
    """Fail unless every acknowledged step is in the history once, in its place, with the output of a replay offline."""
    there = await position(service, key)
    assert sum(len(ack.values) for ack in acknowledged) == there.step, "steps acknowledged and steps counted"
    ordered = sorted(acknowledged, key=lambda ack: ack.answer.position.step)
    now = np.zeros(3, dtype=np.float32)
    for ack in ordered:
        for value in ack.values:
            now[:] = after(now, value)
        assert output(ack.answer) == now.tolist(), f"the output at step {ack.answer.position.step}"
    assert await state(service, key) == now.tolist(), "the state"


def constant(writer: int) -> Iterator[list[float]]:
    """Yield what a client with a stuck sensor appends: the same value for ever."""
    return itertools.repeat([5.0])


def mixed(writer: int) -> Iterator[list[float]]:
    """Yield steps of equal and of other values, and sequences."""
    rng = random.Random(writer)
    while True:
        yield [5.0] if rng.random() < 0.5 else [float(rng.randrange(100)) for _ in range(rng.randrange(1, 4))]


async def all_writers(
    services: Sequence[Service], key: SessionKey, readings: Callable[[int], Iterator[list[float]]], each: int = 25
) -> list[Acknowledged]:
    """Let 16 clients append through the services in turn, all at once, each one request after the other."""

    async def write(writer: int) -> list[Acknowledged]:
        sessions = services[writer % len(services)].sessions
        return [
            Acknowledged(values, await sessions.sequence(key, a_sequence(*values), APPEND))
            for values in itertools.islice(readings(writer), each)
        ]

    results = await asyncio.gather(*[write(writer) for writer in range(WRITERS)])
    return [ack for result in results for ack in result]


async def test_sixteen_writers_through_two_services(redis_url: str, start_service: StartService) -> None:
    services = [start_service(redis_url) for _ in range(2)]
    key = await begin(services[0])
    await check_exactly_once(services[0], key, await all_writers(services, key, constant))


async def test_the_check_sees_it_when_the_compare_is_off(redis_url: str, start_service: StartService) -> None:
    """The proof that the checks of this file can fail: with a commit that never compares, steps are lost."""
    blind = COMMIT.text.replace(b"if head ~= ARGV[1] then", b"if false then")
    assert blind != COMMIT.text
    services = [start_service(redis_url, commit_script=Script.of(blind)) for _ in range(2)]
    key = await begin(services[0])
    acknowledged = await all_writers(services, key, constant)
    with pytest.raises(AssertionError, match="steps acknowledged and steps counted"):
        await check_exactly_once(services[0], key, acknowledged)


async def test_lost_replies_lose_and_double_no_step(redis_process: RedisProcess, start_service: StartService) -> None:
    rng = random.Random(7)
    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(
                LossyProxy(redis_process.url, lambda request: b"EVALSHA" in request and rng.random() < 0.1)
            )
            for _ in range(2)
        ]
        # the window is the number of changes among which a lost commit can be found again
        services = [start_service(proxy.url, window=1024) for proxy in proxies]
        key = await begin(services[0])
        acknowledged = await all_writers(services, key, mixed)
        await check_exactly_once(services[0], key, acknowledged)
        assert all(proxy.cuts > 3 for proxy in proxies)


async def test_clients_that_repeat_themselves_are_counted_once(redis_url: str, start_service: StartService) -> None:
    """Keys and positions, every request sent by two tasks at once through both services."""
    services = [start_service(redis_url) for _ in range(2)]
    key = await begin(services[0])
    where, values = await position(services[0], key), []
    for number in range(30):
        identity = at(where) if number % 2 else Identity(key=f"request {number}")
        both = await asyncio.gather(*[step(service, key, number, identity) for service in services for _ in range(2)])
        assert len({(str(answer.position), tuple(output(answer))) for answer in both}) == 1
        assert [answer.replayed for answer in both].count(False) == 1
        where = both[0].position
        values.append(number)
    assert await state(services[0], key) == history(values)


async def test_a_redis_killed_again_and_again_loses_nothing(
    redis_process: RedisProcess, start_service: StartService
) -> None:
    """Clients with an Idempotency-Key send again until they are answered, whatever the outcome was said to be."""
    services = [start_service(redis_process.url, patience_s=0.2) for _ in range(2)]
    key = await begin(services[0])
    stop = asyncio.Event()
    acknowledged: list[Acknowledged] = []
    unavailable: list[StoreUnavailable] = []

    async def client(number: int) -> None:
        for request in itertools.count():
            if stop.is_set():
                return
            acknowledged.append(Acknowledged([number], await insist(number, Identity(key=f"{number}-{request}"))))

    async def insist(number: int, identity: Identity) -> StepResult:
        while True:
            try:
                return await step(services[number % 2], key, number, identity)
            except StoreUnavailable as error:
                unavailable.append(error)
                await asyncio.sleep(0.02)

    clients = [asyncio.create_task(client(number)) for number in range(8)]
    for _ in range(3):
        await until_longer(acknowledged, by=30)
        redis_process.kill()
        await until_longer(unavailable, by=4)
        await asyncio.to_thread(redis_process.start)
    stop.set()
    await asyncio.gather(*clients)
    assert {error.outcome for error in unavailable} <= {"not_applied", "unknown"}
    await check_exactly_once(services[0], key, acknowledged)


async def test_a_caller_cancelled_in_the_commit_takes_nothing_back(
    redis_process: RedisProcess, start_service: StartService
) -> None:
    committing = asyncio.Event()

    def watch(request: bytes) -> bool:
        if b"EVALSHA" in request:
            committing.set()
        return False

    async with LossyProxy(redis_process.url, watch) as proxy:
        service = start_service(proxy.url)
        keys = [await begin(service) for _ in range(2)]
        for key in keys:
            await step(service, key, 1)
        committing.clear()
        redis_process.signal(signal.SIGSTOP)
        callers = [asyncio.create_task(step(service, key, 2)) for key in keys]
        await committing.wait()
        callers[0].cancel()
        await asyncio.sleep(0)
        redis_process.signal(signal.SIGCONT)
        assert output(await callers[1]) == history([1, 2])
        assert output(await step(service, keys[0], 3)) == history([1, 2, 3])


async def test_a_slow_process_is_let_in(redis_url: str, start_service: StartService) -> None:
    """A process that needs ten times as long for a step would lose every race; it asks, and the other one waits."""
    fast, slow = start_service(redis_url), start_service(redis_url)
    slow.models.network.before = lambda: time.sleep(0.02)  # type: ignore[method-assign]  # a kernel of 20 ms
    key = await begin(fast)
    stop = asyncio.Event()
    counted = 0

    async def hurry() -> None:
        nonlocal counted
        while not stop.is_set():
            await step(fast, key, 1)
            counted += 1

    hurrying = [asyncio.create_task(hurry()) for _ in range(4)]
    async with asyncio.timeout(10):
        for _ in range(5):
            await step(slow, key, 1)
            counted += 1
    stop.set()
    await asyncio.gather(*hurrying)
    assert await state(fast, key) == history([1] * counted)


async def test_a_store_that_lost_steps_is_not_continued_in_silence(
    redis_url: str, start_service: StartService, redis_client: "redis.Redis"
) -> None:
    service = start_service(redis_url)
    key = await begin(service)
    await step(service, key, 1)
    name = service.store.keys.record(key)
    older = redis_client.dump(name)
    assert older is not None
    await step(service, key, 2)
    redis_client.restore(name, 0, older, replace=True)
    with pytest.raises(Regressed) as caught:
        await step(service, key, 3)
    assert caught.value.position == str(await position(service, key))
    assert output(await step(service, key, 3)) == history([1, 3])


async def test_steps_that_were_lost_before_the_model_was_deleted_are_told_first(
    redis_url: str, start_service: StartService, redis_client: "redis.Redis"
) -> None:
    service = start_service(redis_url)
    key = await begin(service)
    name = service.store.keys.record(key)
    older = redis_client.dump(name)
    assert older is not None
    await step(service, key, 1)
    redis_client.restore(name, 0, older, replace=True)
    sizes = service.models.network.network
    assert await service.store.uses.fence_one(key, "exact@1", known_of(sizes))
    with pytest.raises(Regressed):
        await step(service, key, 2)
    with pytest.raises(ModelDeleted):
        await step(service, key, 2)


async def test_what_is_known_of_sessions_is_bounded(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, cache_bytes=10_000)
    keys = [await begin(service) for _ in range(40)]
    for value in (1, 2):
        await asyncio.gather(*[step(service, key, value) for key in keys])
    assert [await state(service, key) for key in keys] == [history([1, 2])] * 40
    assert len(service.sessions._scheduler._cache._queues) <= 10_000 // 2048


async def test_a_lane_full_of_wrong_requests_is_emptied(service: Service) -> None:
    key = await begin(service)
    wrong = [service.sessions.step(key, np.ones((2, 1), np.float32), APPEND) for _ in range(2000)]
    results = await asyncio.gather(*wrong, return_exceptions=True)
    assert {type(result).__name__ for result in results} == {"ShapeMismatch"}
    assert output(await step(service, key, 1)) == history([1])


@pytest.mark.parametrize("busy", [1, 70])
async def test_sessions_in_use_keep_no_unused_ones_in_memory(
    redis_url: str, start_service: StartService, busy: int
) -> None:
    """They are the ones used longest ago, and their model does not answer."""
    slow = ExactNetwork()

    class Models(ExactModels):
        def load(self, version: ModelVersion) -> ExactModel:
            model = super().load(version)
            return dataclasses.replace(model, network=slow) if version.ref == "exact@2" else model

    service = start_service(redis_url, cache_bytes=1000, models=Models(newest=2))
    held = [await begin(service, model="exact@2") for _ in range(busy)]
    keys = [await begin(service, model="exact@1") for _ in range(20)]
    gate = Gate(slow)
    with service.sessions.steps.together():
        waiting = [service.sessions.ask(key, "step", a_sequence(1), APPEND) for key in held]
    await gate.reached()
    for _ in range(3):
        for key in keys:
            await step(service, key, 1)
    assert len(service.sessions._scheduler._cache._queues) <= busy + 1
    gate.open()
    for each in waiting:
        await each
    assert len(service.sessions._scheduler._cache._queues) <= 2
