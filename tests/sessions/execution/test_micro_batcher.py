"""Micro-batching: which steps share a call, and that none is harmed by it."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from cellar.errors import InvalidInput, Overloaded, ShapeMismatch, StateNotFinite, WholeSequencesOnly
from cellar.ports import APPEND, Commit, CommitCallback, CommitResult, SessionKey
from cellar.sessions.execution import kernel_batch
from cellar.sessions.requests.group_commit import FEW
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_STATE, Run, Sizes, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import a_sequence, a_step, begin, output, position, state, step, until_queued

pytestmark = pytest.mark.anyio


async def behind_a_call(service: Service, gate: Gate, keys: list[SessionKey]) -> list["asyncio.Task[list[float]]"]:
    """Begin a call that stands at the gate, then a step of 5 for every session, which must wait for it."""
    first = asyncio.create_task(step(service, await begin(service), 1))
    await gate.reached()

    async def one(key: SessionKey) -> list[float]:
        return output(await step(service, key, 5))

    tasks = [asyncio.create_task(one(key)) for key in keys]
    await until_queued(service, len(keys))
    first.add_done_callback(lambda _: None)
    return tasks


async def test_what_comes_during_a_call_is_the_next_call(service: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(service) for _ in range(3)]
    gate = shut()
    tasks = await behind_a_call(service, gate, keys)
    gate.open()
    assert await asyncio.gather(*tasks) == [history([5])] * 3
    assert service.models.network.calls == [(1, 1), (1, 3)]


async def test_a_cancelled_caller_harms_no_other(service: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(service) for _ in range(3)]
    gate = shut()
    tasks = await behind_a_call(service, gate, keys)
    tasks[1].cancel()
    gate.open()
    assert await tasks[0] == await tasks[2] == history([5])
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    # that step is not awaited, so it is not in the history; the session goes on
    assert output(await step(service, keys[1], 7)) == history([7])


async def test_a_caller_cancelled_in_the_call_harms_no_other(service: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(service) for _ in range(3)]
    for key in keys:
        await step(service, key, 1)  # the records are at hand: all three go into one call at once
    gate = shut()
    tasks = [asyncio.create_task(step(service, key, 5)) for key in keys]
    await gate.reached()
    tasks[1].cancel()
    gate.open()
    assert output(await tasks[0]) == output(await tasks[2]) == history([1, 5])
    assert service.models.network.calls[-1] == (1, 3)
    assert output(await step(service, keys[1], 7)) == history([1, 7])


async def test_a_bad_row_harms_no_other(service: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(service) for _ in range(3)]
    for key in keys:
        await step(service, key, 1)
    gate = shut()
    tasks = [asyncio.create_task(step(service, key, value)) for key, value in zip(keys, [5, BAD_STATE, 6], strict=True)]
    await gate.reached()
    gate.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], StateNotFinite)
    assert [await state(service, key) for key in keys] == [history([1, 5]), history([1]), history([1, 6])]


async def test_a_kernel_that_fails_fails_its_own_call_only(service: Service) -> None:
    key, other = await begin(service), await begin(service)

    def fail() -> None:
        raise RuntimeError("the kernel broke")

    service.models.network.before = fail  # type: ignore[method-assign]  # the double's own hook
    with pytest.raises(RuntimeError, match="the kernel broke"):
        await step(service, key, 1)
    service.models.network.before = lambda: None  # type: ignore[method-assign]  # as before
    assert output(await step(service, key, 2)) == output(await step(service, other, 2)) == history([2])


async def test_sequences_of_like_lengths_share_a_call_and_single_steps_do_not_wait_in_it(
    service: Service, shut: Callable[[], Gate]
) -> None:
    keys = [await begin(service) for _ in range(5)]
    gate = shut()
    blocker = asyncio.create_task(step(service, await begin(service), 1))
    await gate.reached()
    lengths = [5, 100, 7, 1, 4]
    tasks = [
        asyncio.create_task(service.sessions.sequence(key, a_sequence(*range(length)), APPEND))
        for key, length in zip(keys, lengths, strict=True)
    ]
    await until_queued(service, len(tasks))
    gate.open()
    answers = await asyncio.gather(*tasks)
    await blocker
    for answer, length in zip(answers, lengths, strict=True):
        assert answer.outputs is not None
        assert answer.outputs.shape == (length, 1, 3)
        assert output(answer) == history(range(length))
    assert sorted(service.models.network.calls[1:]) == [(1, 1), (7, 3), (100, 1)]


async def test_a_long_sequence_lets_single_steps_through(service: Service, shut: Callable[[], Gate]) -> None:
    long, short = await begin(service), await begin(service)
    await step(service, short, 1)
    gate = shut()
    values = [1.0] * (3 * kernel_batch.CHUNK_STEPS)
    sequence = asyncio.create_task(service.sessions.sequence(long, a_sequence(*values), APPEND))
    await gate.reached()
    single = asyncio.create_task(step(service, short, 2))
    await asyncio.sleep(0)
    gate.open()
    await single
    assert not sequence.done()
    assert output(await sequence) == history(values)
    chunk = (kernel_batch.CHUNK_STEPS, 1)
    assert service.models.network.calls[1:] == [chunk, (1, 1), chunk, chunk]


async def test_a_call_has_a_bounded_number_of_rows(service: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(service, batch_size=400) for _ in range(4)]
    gate = shut()
    blocker = asyncio.create_task(step(service, await begin(service), 1))
    await gate.reached()
    tasks = [asyncio.create_task(service.sessions.step(key, a_step(*[2] * 400), APPEND)) for key in keys]
    await until_queued(service, len(tasks))
    gate.open()
    await asyncio.gather(blocker, *tasks)
    assert service.models.network.calls == [(1, 1), (1, 800), (1, 800)]


async def test_too_many_requests_are_refused_at_once(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, queue_limit=3)
    key = await begin(service)
    tasks = [asyncio.create_task(step(service, key, value)) for value in range(5)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [result for result in results if isinstance(result, Overloaded)]
    assert len(refused) == 2
    assert {result.outcome for result in refused} == {"not_applied"}
    assert await state(service, key) == history([0, 1, 2])
    assert output(await step(service, key, 3)) == history([0, 1, 2, 3])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # uvloop shows its timers nowhere
async def test_an_idle_service_has_no_task_and_no_timer(service: Service) -> None:
    await asyncio.gather(*[step(service, await begin(service), 1) for _ in range(10)])
    await asyncio.sleep(0.01)  # until the tasks that have ended are gone
    ours = [task for task in asyncio.all_tasks() if "cellar" in repr(task.get_coro())]
    assert ours == []
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # no public way to them
    assert [timer for timer in timers if not timer.cancelled() and "cellar" in repr(timer)] == []


async def test_closing_waits_for_what_is_under_way_and_takes_no_more(
    service: Service, shut: Callable[[], Gate]
) -> None:
    key = await begin(service)
    where = await position(service, key)
    gate = shut()
    under_way = asyncio.create_task(step(service, key, 1))
    await gate.reached()
    closing = asyncio.create_task(service.sessions.aclose(grace_s=5))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await step(service, key, 2)
    gate.open()
    await closing
    assert output(await under_way) == history([1])
    assert (await under_way).position.step == where.step + 1


async def test_many_rows_take_fewer_steps_at_a_time(service: Service) -> None:
    key = await begin(service, batch_size=1024)
    inputs = a_sequence(*range(10)).repeat(1024, axis=1)
    answer = await service.sessions.sequence(key, inputs, APPEND)
    assert output(answer) == history(range(10))
    assert service.models.network.calls == [(4, 1024), (4, 1024), (2, 1024)]


async def test_sequences_that_go_on_keep_no_distance(service: Service) -> None:
    """A group does not grow while the sequences that are in it run their next chunks."""
    keys = [await begin(service) for _ in range(2 * FEW)]
    for key in keys:  # the records are at hand then, so all sequences start in one batch
        await step(service, key, 1)
    service.models.network.calls.clear()
    group_commit = service.sessions._scheduler._lifecycle.group_commit
    group_commit._spacing_s = 3600  # with a distance the second chunk would never run
    inputs = a_sequence(*[1.0] * (2 * kernel_batch.CHUNK_STEPS + 1))
    async with asyncio.timeout(20):
        answers = await asyncio.gather(*[service.sessions.sequence(key, inputs, APPEND) for key in keys])
    assert [output(answer) for answer in answers] == [history([1.0] * (len(inputs) + 1))] * len(keys)
    assert len(service.models.network.calls) == 3


async def test_a_sequence_that_no_request_waits_for_goes_no_further(service: Service, shut: Callable[[], Gate]) -> None:
    key = await begin(service)
    gate = shut()
    values = [1.0] * (3 * kernel_batch.CHUNK_STEPS)
    sequence = asyncio.create_task(service.sessions.sequence(key, a_sequence(*values), APPEND))
    await gate.reached()
    sequence.cancel()
    await asyncio.sleep(0)
    gate.open()
    assert output(await step(service, key, 2)) == history([2])
    assert service.models.network.calls == [(kernel_batch.CHUNK_STEPS, 1), (1, 1)]


async def test_what_fails_after_the_kernel_leaves_the_session_usable(service: Service) -> None:
    key, other = await begin(service), await begin(service)
    sound = service.models.network.run

    def run(*arguments: Any, **more: Any) -> Run:
        result = sound(*arguments, **more)
        result.bad_step[:], result.bad_kind[:] = 0, 9  # an unknown kind
        return result

    service.models.network.run = run  # type: ignore[method-assign]  # the double's own
    with pytest.raises(KeyError):
        await step(service, key, 1)
    service.models.network.run = sound  # type: ignore[method-assign]  # as before
    assert output(await step(service, key, 2)) == output(await step(service, other, 2)) == history([2])


async def test_state_and_answer_have_a_limit(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, max_numbers=30)
    with pytest.raises(InvalidInput) as refused:
        await begin(service, batch_size=11)
    assert (refused.value.pointer, refused.value.expected) == ("/batch_size", "1 to 10")
    key = await begin(service, batch_size=2)
    with pytest.raises(ShapeMismatch, match="too large") as too_large:
        await service.sessions.sequence(key, a_sequence(*range(6)).repeat(2, axis=1), APPEND)
    assert too_large.value.actual == "6 x 2 x 3"
    assert (await position(service, key)).step == 0
    await service.sessions.sequence(key, a_sequence(*range(5)).repeat(2, axis=1), APPEND)


@pytest.fixture
def whole(service: Service) -> Service:
    """Return the service with a network that takes whole sequences only, 6000 row steps at once."""
    sizes = Sizes(whole_sequences=True, row_numbers=kernel_batch.WHOLE_NUMBERS // 6000)
    service.models.network.network = sizes
    return service


async def test_a_whole_sequence_is_not_cut(whole: Service) -> None:
    key = await begin(whole)
    values = [float(value) for value in range(3000)]
    answer = await whole.sessions.sequence(key, a_sequence(*values), APPEND)
    assert output(answer) == history(values)
    assert whole.models.network.calls == [(3000, 1)]


async def test_whole_sequences_share_a_call_as_far_as_its_memory_goes(whole: Service, shut: Callable[[], Gate]) -> None:
    keys = [await begin(whole) for _ in range(5)]
    gate = shut()
    first = asyncio.create_task(whole.sessions.sequence(keys[0], a_sequence(1), APPEND))
    await gate.reached()
    lengths = [2100, 3000, 2500, 2]
    tasks = [
        asyncio.create_task(whole.sessions.sequence(key, a_sequence(*[2.0] * length), APPEND))
        for key, length in zip(keys[1:], lengths, strict=True)
    ]
    await until_queued(whole, len(keys) - 1)
    gate.open()
    for answer, length in zip(await asyncio.gather(*tasks), lengths, strict=True):
        assert output(answer) == history([2.0] * length)
    await first
    assert whole.models.network.calls == [(1, 1), (3000, 2), (2500, 1), (2, 1)]


async def test_a_whole_sequence_that_fits_in_no_call_is_refused(whole: Service) -> None:
    key = await begin(whole, batch_size=2)
    inputs = np.zeros((3001, 2, 1), np.float32)
    with pytest.raises(ShapeMismatch, match="all of it at once") as caught:
        await whole.sessions.sequence(key, inputs, APPEND)
    assert caught.value.expected == "at most 6000 steps x batch_size"
    await whole.sessions.sequence(key, inputs[:3000], APPEND)


async def test_a_network_of_whole_sequences_takes_no_step(whole: Service) -> None:
    key = await begin(whole)
    with pytest.raises(WholeSequencesOnly, match="/sequence"):
        await whole.sessions.step(key, a_step(1), APPEND)
    assert (await position(whole, key)).step == 0
    assert output(await whole.sessions.sequence(key, a_sequence(1), APPEND)) == history([1])


@pytest.mark.parametrize("short", [True, False])
async def test_only_calls_that_take_a_while_are_left_to_a_thread(service: Service, short: bool) -> None:
    threads: list[threading.Thread] = []
    network = service.models.network
    network.flops = 1 if short else 10**9
    # replaced for this test
    network.before = lambda: threads.append(threading.current_thread())  # type: ignore[method-assign]
    key = await begin(service)
    assert output(await step(service, key, 1)) == history([1])
    assert output(await service.sessions.sequence(key, a_sequence(*range(60)), APPEND)) == history([1, *range(60)])
    assert {thread is threading.current_thread() for thread in threads} == {short}


async def test_few_commits_fly_at_a_time_and_those_hold_what_came_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    post, sizes, flying, most = service.store.post, list[int](), 0, 0

    def counted(commits: Sequence[Commit], done: CommitCallback) -> None:
        nonlocal flying, most
        sizes.append(len(commits))
        flying += 1
        most = max(most, flying)

        def landed(part: Sequence[int], results: Sequence[CommitResult]) -> None:
            nonlocal flying
            flying -= 1
            done(part, results)

        post(commits, landed)

    monkeypatch.setattr(service.store, "post", counted)
    service.models.network.flops = 1
    keys = [await begin(service) for _ in range(20)]

    async def go_on(key: SessionKey) -> None:
        for value in range(5):
            await step(service, key, value)

    await asyncio.gather(*[go_on(key) for key in keys])
    assert [await state(service, key) for key in keys] == [history(range(5))] * 20
    assert most <= 2
    assert sum(sizes) == 100
    assert len(sizes) < 60
