"""A deadline bounds every wait before the kernel begins, and what it ends is never applied."""

import asyncio
import gc
import signal
import threading
from collections.abc import Callable
from time import monotonic

import pytest

from cellar.errors import DeadlineExceeded, Overloaded
from cellar.ports import APPEND, Identity, ModelVersion, SessionKey, StepCommand
from cellar.sessions.execution.kernel_batch import BatchItem
from cellar.sessions.requests.call_cost import CallCost
from cellar.sessions.requests.request import PendingSteps, Request, StepRequest
from cellar.sessions.service.sessions import THREADS
from tests.redis_process import RedisProcess
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import ExactModel, ExactModels, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, begin, output, state, step, until

pytestmark = pytest.mark.anyio

Shut = Callable[[], Gate]

SOON_S = 0.05


def late(service: Service, key: SessionKey, value: float, **options: object) -> PendingSteps:
    """Submit a step that will not begin in its time."""
    # the test's stand-in or text for it
    return service.sessions.ask(key, "step", a_sequence(value), APPEND, deadline_s=SOON_S, **options)  # type: ignore[arg-type]


async def is_late(pending: PendingSteps) -> None:
    """Fail unless its time is over, long before whatever it waits for is."""
    with pytest.raises(DeadlineExceeded) as caught:
        async with asyncio.timeout(2):
            await pending
    assert caught.value.outcome == "not_applied"
    assert caught.value.detail == "the request had not begun after 50 ms"


def no_request_waits(service: Service) -> bool:
    return not service.sessions._scheduler.admission.waiting


async def test_it_bounds_the_wait_for_the_batch_before(service: Service, shut: Shut) -> None:
    key, other = await begin(service), await begin(service)
    await step(service, key, 0)
    gate = shut()
    running = service.sessions.ask(other, "step", a_sequence(1), APPEND)
    await gate.reached()
    await is_late(late(service, key, 1))
    gate.open()
    await running
    await until(lambda: no_request_waits(service))
    assert await state(service, key) == history([0])
    assert output(await step(service, key, 2)) == history([0, 2])


@pytest.mark.parametrize("at", [0, 1, 2])
async def test_who_was_to_go_with_it_goes_without_it(service: Service, shut: Shut, at: int) -> None:
    key, other = await begin(service), await begin(service)
    await step(service, key, 0)
    gate = shut()
    running = service.sessions.ask(other, "step", a_sequence(1), APPEND)
    await gate.reached()
    with service.sessions.steps.together():
        waiting = [
            late(service, key, value) if value == at else service.sessions.ask(key, "step", a_sequence(value), APPEND)
            for value in range(3)
        ]
    await is_late(waiting[at])
    gate.open()
    await running
    there = [0.0]
    for value in range(3):
        if value != at:
            there.append(value)
            assert output(await waiting[value]) == history(there)
    assert await state(service, key) == history(there)
    assert no_request_waits(service)


async def test_it_bounds_the_wait_for_a_thread(service: Service) -> None:
    key = await begin(service)
    await step(service, key, 0)
    free = threading.Event()
    try:
        taken = [service.sessions.kernels.submit(free.wait, 20) for _ in range(THREADS)]
        await is_late(late(service, key, 1))
    finally:
        free.set()
    await asyncio.gather(*map(asyncio.wrap_future, taken))
    await until(lambda: no_request_waits(service))
    assert output(await step(service, key, 2)) == history([0, 2])


async def test_it_bounds_the_wait_for_a_record(redis_process: RedisProcess, start_service: StartService) -> None:
    """The Redis hangs: whoever waits behind is told in time as well."""
    key = await begin(start_service(redis_process.url))
    service = start_service(redis_process.url)
    await service.sessions.get(key)
    redis_process.signal(signal.SIGSTOP)
    try:
        waiting = [late(service, key, value) for value in (1, 2)]
        for each in waiting:
            await is_late(each)
    finally:
        redis_process.signal(signal.SIGCONT)
    await until(lambda: no_request_waits(service))
    assert output(await step(service, key, 3)) == history([3])


async def test_it_bounds_the_wait_for_a_model(redis_url: str, start_service: StartService) -> None:
    class Slow(ExactModels):
        free = threading.Event()

        def load(self, version: ModelVersion) -> ExactModel:
            assert self.free.wait(20)
            return super().load(version)

    key = await begin(start_service(redis_url))
    models = Slow()
    service = start_service(redis_url, models=models)
    try:
        await is_late(late(service, key, 1))
        patient = service.sessions.ask(key, "step", a_sequence(2), APPEND)
    finally:
        models.free.set()
    assert output(await patient) == history([2])
    assert no_request_waits(service)


async def test_who_does_not_run_because_another_has_ended_keeps_its_deadline(service: Service) -> None:
    key = await begin(service)
    record, *_ = await service.sessions.look(key)
    command = StepCommand(key, a_sequence(1))
    first, second = (StepRequest(command, APPEND, b"", b"", 0.0, command.inputs) for _ in range(2))
    first.end_after(SOON_S, SOON_S)
    second.cancel()
    assert not BatchItem([first, second], record, service.models.network).begins()
    await is_late(first)


async def test_it_counts_from_when_the_request_came(service: Service) -> None:
    key = await begin(service)
    with pytest.raises(DeadlineExceeded):
        late(service, key, 1, came_s=monotonic() - 1)
    assert no_request_waits(service)
    assert output(await step(service, key, 2)) == history([2])


async def test_a_step_behind_one_that_was_late_is_not_reached(service: Service, shut: Shut) -> None:
    key = await begin(service)
    gate = shut()
    running = service.sessions.ask(key, "step", a_sequence(0), Identity(step=0))
    await gate.reached()
    first = service.sessions.ask(key, "step", a_sequence(1), Identity(step=1), deadline_s=SOON_S, after=running)
    second = service.sessions.ask(key, "step", a_sequence(2), Identity(step=2), after=first)
    await is_late(first)
    gate.open()
    await running
    with pytest.raises(Exception, match="the request before this one has failed"):
        await second
    assert await state(service, key) == history([0])


def cost_of(service: Service, key: SessionKey) -> CallCost:
    """Return what the calls of the session's model are believed to take."""
    queue = service.sessions._scheduler._cache.known(key)
    assert queue is not None
    assert queue.served is not None
    served = queue.served()
    assert served is not None
    return served.batcher.cost


def set_record(cost: CallCost, time_s: float) -> None:
    """Have calls of one row believed to take so long."""
    for _ in range(100):
        cost.learn(1, 1, time_s)


async def test_what_would_be_answered_too_late_does_not_run(service: Service, shut: Shut) -> None:
    """It waits behind a call; when that ends its time is not over yet, and would be before its own ends."""
    keys, other = [await begin(service) for _ in range(2)], await begin(service)
    for key in (*keys, other):
        await step(service, key, 0)
    cost = cost_of(service, other)
    set_record(cost, 1e-6)
    gate = shut()
    running = service.sessions.ask(other, "step", a_sequence(1), APPEND)
    await gate.reached()
    too_late = service.sessions.ask(keys[0], "step", a_sequence(1), APPEND, deadline_s=60.0)
    patient = service.sessions.ask(keys[1], "step", a_sequence(1), APPEND)
    set_record(cost, 600.0)
    gate.open()
    with pytest.raises(DeadlineExceeded, match="would have been answered after its time") as caught:
        async with asyncio.timeout(20):
            await too_late
    assert caught.value.outcome == "not_applied"
    await running
    await patient
    assert [await state(service, key) for key in keys] == [history([0]), history([0, 1])]
    set_record(cost, 1e-6)
    assert output(await step(service, keys[0], 2)) == history([0, 2])
    assert no_request_waits(service)


async def test_what_cannot_be_in_time_is_refused_at_once(service: Service, shut: Shut) -> None:
    key, other, third = [await begin(service) for _ in range(3)]
    for each in (key, other, third):
        await step(service, each, 0)
    cost = cost_of(service, other)
    set_record(cost, 600.0)
    gate = shut()
    running = service.sessions.ask(other, "step", a_sequence(1), APPEND, deadline_s=60.0)  # nothing stands before it
    await gate.reached()
    with pytest.raises(Overloaded, match="for this model") as caught:
        service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=60.0)
    assert (caught.value.outcome, caught.value.retry_after_s) == ("not_applied", 30)
    assert service.sessions.steps.admission.is_refusing
    with pytest.raises(Overloaded):
        service.sessions.steps.check_room(key, 60.0)
    patient = service.sessions.ask(third, "step", a_sequence(1), APPEND)
    gate.open()
    await running
    await patient
    assert [await state(service, each) for each in (key, other, third)] == [history([0]), *[history([0, 1])] * 2]
    assert no_request_waits(service)


async def test_a_session_that_is_read_first_counts_with_its_model_then(service: Service, shut: Shut) -> None:
    key, other = [await begin(service) for _ in range(2)]
    await step(service, other, 0)
    set_record(cost_of(service, other), 600.0)
    gate = shut()
    running = service.sessions.ask(other, "step", a_sequence(1), APPEND)
    await gate.reached()
    with pytest.raises(Overloaded, match="for this model"):  # its record is not at hand
        await service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=60.0)
    gate.open()
    await running
    assert await state(service, key) == history([])
    assert no_request_waits(service)


async def test_requests_that_have_ended_leave_no_timer(service: Service) -> None:
    service.models.network.flops = 1
    keys = [await begin(service) for _ in range(50)]
    for _ in range(200):
        with service.sessions.steps.together():
            waiting = [service.sessions.ask(key, "step", a_sequence(1), APPEND, deadline_s=60.0) for key in keys]
        for each in waiting:
            await each
    waiting.clear()
    del each
    gc.collect()
    # a timer that is left would keep its request, whatever the loop is
    assert not [left for left in gc.get_objects() if isinstance(left, Request)]
