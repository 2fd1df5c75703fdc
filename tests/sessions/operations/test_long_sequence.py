"""Sequences of any length: chunk by chunk, or as a whole, and each step once."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.errors import (
    Diverged,
    EpochChanged,
    InvalidInput,
    ReplayExpired,
    SessionMoved,
    StateNotFinite,
    StepTaken,
    WriterUnknown,
)
from cellar.ports import APPEND, Identity, SessionKey
from cellar.sessions.operations import long_sequence
from cellar.sessions.operations.long_sequence import Chunk, LongSequence, Ran
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import BAD_STATE, history
from tests.sessions.session_calls import begin, position, state, step

pytestmark = pytest.mark.anyio

VALUES = [float(value) for value in np.random.default_rng(4).integers(0, 1000, 50)]
CHUNK = 8


def steps(values: list[float]) -> NDArray[np.float32]:
    """Return inputs of one row."""
    return np.array(values, np.float32).reshape(-1, 1, 1)


async def opened(
    service: Service, key: SessionKey, identity: Identity = APPEND, *, whole: bool = False
) -> LongSequence:
    """Begin a sequence in chunks of eight."""
    return await long_sequence.begin(service.sessions, key, identity, whole=whole, chunk=CHUNK)


async def send(sequence: LongSequence, values: list[float]) -> list[Ran]:
    """Run all steps."""
    ran: list[Ran] = []
    for start in range(0, len(values), sequence.chunk):
        ran += await sequence.run(Chunk(steps(values[start : start + sequence.chunk])))
    return ran + await sequence.end()


def outputs(ran: list[Ran]) -> list[list[float]]:
    """Return the outputs of all steps."""
    return [list(map(float, row[0])) for each in ran if each.outputs is not None for row in each.outputs]


@pytest.mark.parametrize("whole", [False, True])
async def test_all_steps_happen_in_order(service: Service, whole: bool) -> None:
    key = await begin(service)
    sequence = await opened(service, key, whole=whole)
    ran = await send(sequence, VALUES)
    assert outputs(ran) == [history(VALUES[: count + 1]) for count in range(50)]
    assert [each.first for each in ran] == list(range(0, 50, CHUNK))
    assert await state(service, key) == history(VALUES)
    assert sequence.position == await position(service, key)
    assert [each.position is None for each in ran] == [whole] * len(ran)
    other = await begin(service)
    single = await step(service, other, VALUES[0])
    for value in VALUES[1:]:
        single = await step(service, other, value)
    assert single.position.digest != sequence.position.digest  # another epoch
    assert single.position.step == sequence.position.step == sequence.steps == 50


@pytest.mark.parametrize("cut", [3, 8, 21, 50])
async def test_what_was_applied_before_a_drop_is_passed_over(service: Service, cut: int) -> None:
    key = await begin(service)
    before = await position(service, key)
    for start in range(0, cut, 5):
        await service.sessions.sequence(key, steps(VALUES[start : min(start + 5, cut)]), APPEND)
    sequence = await opened(service, key, Identity(position=before))
    ran = await send(sequence, VALUES)
    assert ran[0].replayed
    assert (ran[0].first, ran[0].steps) == (0, cut)
    assert sum(each.steps for each in ran) == sequence.steps == 50
    assert sequence.replayed == (cut == 50)
    assert await state(service, key) == history(VALUES)


async def test_the_window_of_replays_is_no_limit(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, window=4)
    key = await begin(service)
    first = Identity(position=await position(service, key))
    await send(await opened(service, key, first), VALUES)
    again = await opened(service, key, first)
    assert [(each.steps, each.replayed) for each in await send(again, VALUES)] == [(50, True)]
    assert again.replayed
    assert await state(service, key) == history(VALUES)


async def test_a_body_that_the_session_is_ahead_of(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, window=4)
    key = await begin(service)
    first = Identity(position=await position(service, key))
    await send(await opened(service, key, first), VALUES[:16])
    await step(service, key, 7)
    again = await opened(service, key, first)
    assert [(each.steps, each.replayed) for each in await send(again, VALUES[:16])] == [(16, True)]
    for value in range(4):
        await step(service, key, value)
    with pytest.raises(ReplayExpired):
        await send(await opened(service, key, first), VALUES[:16])
    assert await state(service, key) == history([*VALUES[:16], 7, 0, 1, 2, 3])


async def test_other_inputs_are_another_history(service: Service) -> None:
    key = await begin(service)
    first = Identity(position=await position(service, key))
    await send(await opened(service, key, first), VALUES)
    with pytest.raises(Diverged):
        await send(await opened(service, key, first), [*VALUES[:30], 3.5, *VALUES[31:], 1.0])
    assert await state(service, key) == history(VALUES)


async def test_two_at_once_are_applied_once(service: Service) -> None:
    key = await begin(service)
    first = Identity(position=await position(service, key))
    one, two = await opened(service, key, first), await opened(service, key, first)
    await one.run(Chunk(steps(VALUES[:8])))
    await one.run(Chunk(steps(VALUES[8:16])))
    await send(two, VALUES)
    for start in range(16, 50, CHUNK):
        await one.run(Chunk(steps(VALUES[start : start + CHUNK])))
    assert one.position == two.position
    assert await state(service, key) == history(VALUES)


async def test_numbered_and_keyed_chunks_are_replayed(service: Service) -> None:
    for identity in (Identity(writer="w", seq=1), Identity(key="once")):
        key = await begin(service)
        await send(await opened(service, key, identity), VALUES[:24])
        again = await opened(service, key, identity)
        ran = await send(again, VALUES)
        assert [each.replayed for each in ran] == [True] * 3 + [False] * 4
        assert await state(service, key) == history(VALUES)


async def test_a_bad_number_keeps_the_chunks_before_it(service: Service) -> None:
    key = await begin(service)
    sequence = await opened(service, key)
    with pytest.raises(StateNotFinite, match="step 19 "):
        await send(sequence, [*VALUES[:19], BAD_STATE, *VALUES[20:]])
    assert sequence.steps == 16
    assert sequence.position == await position(service, key)
    assert await state(service, key) == history(VALUES[:16])


async def test_a_bad_number_keeps_nothing_of_a_whole(service: Service) -> None:
    key = await begin(service)
    with pytest.raises(StateNotFinite, match="step 19 "):
        await send(await opened(service, key, whole=True), [*VALUES[:19], BAD_STATE])
    assert (await position(service, key)).step == 0


async def test_no_other_step_comes_between(service: Service) -> None:
    key = await begin(service)
    sequence = await opened(service, key)
    await sequence.run(Chunk(steps(VALUES[:8])))
    await step(service, key, 5)
    with pytest.raises(StepTaken):
        await sequence.run(Chunk(steps(VALUES[8:16])))
    whole = await opened(service, key, whole=True)
    await whole.run(Chunk(steps(VALUES[:8])))
    await step(service, key, 6)
    with pytest.raises(SessionMoved):
        await whole.end()
    assert await state(service, key) == history([*VALUES[:8], 5, 6])


@pytest.mark.parametrize("by", ["position", "writer", "key"])
async def test_a_whole_is_replayed(service: Service, by: str) -> None:
    key = await begin(service)
    identity = {
        "position": Identity(position=await position(service, key)),
        "writer": Identity(writer="w", seq=1),
        "key": Identity(key="once"),
    }[by]
    first = await opened(service, key, identity, whole=True)
    assert len(await send(first, VALUES)) == 7
    await step(service, key, 9)
    again = await opened(service, key, identity, whole=True)
    assert await send(again, VALUES) == []
    assert (again.position, again.replayed) == (first.position, True)
    assert await state(service, key) == history([*VALUES, 9])


async def test_refused_before_anything_is_read(service: Service) -> None:
    key = await begin(service)
    before = await position(service, key)
    await service.sessions.reset(key, APPEND)
    with pytest.raises(EpochChanged):
        await opened(service, key, Identity(position=before), whole=True)
    with pytest.raises(WriterUnknown):
        await opened(service, key, Identity(writer="w", seq=2), whole=True)
    for whole in (False, True):
        with pytest.raises(InvalidInput, match="without steps"):
            await (await opened(service, key, whole=whole)).end()


async def test_a_log_needs_chunks(service: Service) -> None:
    made = await service.sessions.create("default", model="exact", log=10)
    key = made.session.key
    with pytest.raises(InvalidInput) as caught:
        await opened(service, key, whole=True)
    assert caught.value.pointer == "/commit"


async def test_rows_are_reset_once(service: Service) -> None:
    for whole in (False, True):
        key = await begin(service)
        await step(service, key, 3)
        sequence = await long_sequence.begin(service.sessions, key, APPEND, whole=whole, chunk=CHUNK, reset=True)
        await send(sequence, VALUES)
        assert await state(service, key) == history(VALUES)
