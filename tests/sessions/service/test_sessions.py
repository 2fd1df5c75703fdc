"""The session service: what it answers, and what it leaves in the store."""

import asyncio
import dataclasses

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from cellar.errors import (
    AlreadyExists,
    CellarError,
    EpochChanged,
    FingerprintMismatch,
    InvalidInput,
    KernelRevisionMismatch,
    ModelDeleted,
    ModelUnknown,
    NotFinite,
    OutputNotFinite,
    Overlap,
    Regressed,
    SessionExpired,
    SessionUnknown,
    ShapeMismatch,
    StateNotFinite,
    StepTaken,
    StoreCorrupt,
)
from cellar.ports import APPEND, Identity, SessionKey
from cellar.sessions.execution.kernel_batch import CHUNK_STEPS
from cellar.sessions.values.position import advance
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import BAD_OUTPUT, BAD_STATE, ExactModels, history
from tests.sessions.session_calls import a_sequence, a_step, at, begin, output, position, state, step

pytestmark = pytest.mark.anyio

NOBODY = SessionKey("default", "nobody")


# --- life -----------------------------------------------------------------------------------------------------------


async def test_a_session_is_created_as_asked(service: Service) -> None:
    answer = await service.sessions.create("default", model="exact@1", session="a.b-c", batch_size=3, ttl_s=60)
    created = answer.session
    assert (created.key.session, created.meta.model, created.meta.batch_size, created.meta.ttl_s) == (
        "a.b-c",
        "exact@1",
        3,
        60,
    )
    assert (created.position.step, created.meta.kernel_rev) == (0, 1)
    assert (created.meta.created_s, created.expires_s) == (FakeClock().time_s, FakeClock().time_s + 60)
    got = await service.sessions.get(SessionKey("default", "a.b-c"))
    assert got == dataclasses.replace(created, expires_s=got.expires_s)
    assert created.expires_s - 1 < got.expires_s <= created.expires_s


async def test_a_name_alone_is_pinned_to_the_newest_version(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, models=ExactModels(newest=3))
    answer = await service.sessions.create("default", model="exact")
    assert answer.session.meta.model == "exact@3"


async def test_the_same_creation_again_is_the_same_session(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url)
    first = await service.sessions.create("default", model="exact", session="s")
    service.models.newest = 2
    again = await service.sessions.create("default", model="exact", session="s")
    assert (first.created, again.created) == (True, False)
    assert again.session.meta.model == "exact@1"
    for other in ({"model": "exact@2"}, {"model": "exact", "batch_size": 2}, {"model": "exact", "ttl_s": 5}):
        with pytest.raises(AlreadyExists):
            await service.sessions.create("default", session="s", **other)


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"session": "a\n"}, "/session"),
        ({"session": ""}, "/session"),
        ({"session": "x" * 257}, "/session"),
        ({"batch_size": 0}, "/batch_size"),
        ({"batch_size": 4097}, "/batch_size"),
        ({"ttl_s": 0}, "/ttl_s"),
    ],
)
async def test_a_creation_that_cannot_be_is_refused(service: Service, wrong: dict[str, int], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await service.sessions.create("default", model="exact", **wrong)  # type: ignore[arg-type]  # by the row
    assert caught.value.pointer == pointer


async def test_an_unknown_model_makes_no_session(service: Service) -> None:
    with pytest.raises(ModelUnknown):
        await service.sessions.create("default", model="other", session="s")
    assert (await service.sessions.list("default")).sessions == ()


async def test_sessions_are_listed_a_page_at_a_time(service: Service) -> None:
    made = {(await begin(service)).session for _ in range(5)}
    page = await service.sessions.list("default", limit=3)
    rest = await service.sessions.list("default", cursor=page.cursor, limit=3)
    assert len(page.sessions) == 3
    assert {session.key.session for session in page.sessions + rest.sessions} == made


async def test_a_deleted_session_is_unknown_to_every_call(service: Service) -> None:
    key = await begin(service)
    await step(service, key, 1)
    await service.sessions.delete(key)
    for call in (
        step(service, key, 1),
        service.sessions.get(key),
        service.sessions.reset(key, APPEND),
        service.states.read(key),
        service.sessions.delete(key),
        step(service, NOBODY, 1, Identity(key="k", step=0)),
    ):
        with pytest.raises(SessionUnknown):
            await call


async def test_a_session_that_expired_is_gone_also_to_those_who_know_it(
    service: Service, redis_client: "redis.Redis"
) -> None:
    key = await begin(service)
    where = (await step(service, key, 1)).position
    redis_client.pexpire(service.store.keys.record(key), 0)
    for identity in (APPEND, at(where), Identity(step=0), Identity(key="k")):
        with pytest.raises(SessionExpired):
            await step(service, key, 2, identity)
    redis_client.delete(service.store.keys.tombstone(key))
    with pytest.raises(SessionUnknown):
        await step(service, key, 2)


async def test_a_session_made_again_begins_again(service: Service) -> None:
    key = SessionKey("default", "phoenix")
    await service.sessions.create("default", model="exact", session="phoenix")
    old = await step(service, key, 1)
    await service.sessions.delete(key)
    await service.sessions.create("default", model="exact", session="phoenix")
    with pytest.raises(EpochChanged):
        await step(service, key, 2, at(old.position))
    assert output(await step(service, key, 2)) == history([2])


# --- steps ----------------------------------------------------------------------------------------------------------


async def test_steps_move_the_state(service: Service) -> None:
    key = await begin(service)
    first, second = await step(service, key, 5), await step(service, key, 5)
    assert (output(first), output(second)) == (history([5]), history([5, 5]))
    assert (first.position.step, second.position.step) == (1, 2)
    assert await state(service, key) == history([5, 5])
    assert await position(service, key) == second.position


async def test_a_sequence_is_its_steps(service: Service) -> None:
    stepped, at_once = await begin(service), await begin(service)
    values = [float(value % 7) for value in range(1300)]
    answer = await service.sessions.sequence(at_once, a_sequence(*values), APPEND)
    assert answer.outputs is not None
    assert answer.outputs.shape == (1300, 1, 3)
    for value in values[:20]:
        last = await step(service, stepped, value)
    assert answer.outputs[19].tolist() == last.outputs[0].tolist()  # type: ignore[index]  # a step that is no replay
    assert output(answer) == await state(service, at_once) == history(values)


async def test_the_digest_is_that_of_the_single_steps(service: Service) -> None:
    key = await begin(service)
    where = await position(service, key)
    answer = await service.sessions.sequence(key, a_sequence(1, 2, 3), APPEND)
    for value in (1, 2, 3):
        where = advance(where, a_sequence(value))
    assert answer.position == where


async def test_rows_of_a_session_are_independent(service: Service) -> None:
    key = await begin(service, batch_size=3)
    await service.sessions.step(key, a_step(1, 2, 3), APPEND)
    answer = await service.sessions.step(key, a_step(4, 5, 6), APPEND)
    assert answer.outputs is not None
    assert answer.outputs[0].tolist() == [history([1, 4]), history([2, 5]), history([3, 6])]


async def test_rows_that_a_step_resets_begin_anew_in_the_same_epoch(service: Service) -> None:
    key = await begin(service, batch_size=3)
    before = await service.sessions.step(key, a_step(1, 2, 3), APPEND)
    some = await service.sessions.step(key, a_step(4, 5, 6), APPEND, reset=[True, False, True])
    assert some.outputs is not None
    assert some.outputs[0].tolist() == [history([4]), history([2, 5]), history([6])]
    assert (some.position.epoch, some.position.step) == (before.position.epoch, 2)
    every = await service.sessions.step(key, a_step(7, 8, 9), APPEND, reset=True)
    assert every.outputs is not None
    assert every.outputs[0].tolist() == [history([7]), history([8]), history([9])]
    none = await service.sessions.step(key, a_step(1, 1, 1), APPEND, reset=[False] * 3)
    assert none.position == advance(every.position, a_step(1, 1, 1)[None])


async def test_a_sequence_resets_rows_before_its_first_step_alone(service: Service) -> None:
    key = await begin(service, batch_size=2)
    steps = 2 * CHUNK_STEPS + 1
    inputs = np.arange(2 * steps, dtype=np.float32).reshape(steps, 2, 1) % 7
    start = await service.sessions.step(key, a_step(1, 2), APPEND)
    answer = await service.sessions.sequence(key, inputs, APPEND, reset=[False, True])
    assert answer.outputs is not None
    kept, anew = inputs[:, 0, 0].tolist(), inputs[:, 1, 0].tolist()
    assert answer.outputs[-1].tolist() == [history([1, *kept]), history(anew)]
    assert answer.position == advance(start.position, inputs, np.array([[0, 1]], np.uint8))


@pytest.mark.parametrize("reset", [[], [True, False], [False, False], [True] * 4])
async def test_as_many_rows_are_reset_or_not_as_there_are(service: Service, reset: list[bool]) -> None:
    key = await begin(service, batch_size=3)
    for identity in (APPEND, Identity(key="k")):
        with pytest.raises(InvalidInput) as caught:
            await service.sessions.step(key, a_step(1, 2, 3), identity, reset=reset)
        assert (caught.value.pointer, caught.value.actual) == ("/reset", str(len(reset)))
    assert (await position(service, key)).step == 0


async def test_sessions_that_share_a_call_reset_their_own_rows(service: Service) -> None:
    keys = [await begin(service) for _ in range(6)]
    for key in keys:
        await step(service, key, 1)
    answers = await asyncio.gather(
        *[service.sessions.step(key, a_step(2), APPEND, reset=number % 3 == 0) for number, key in enumerate(keys)]
    )
    assert [output(answer) for answer in answers] == [history([2] if n % 3 == 0 else [1, 2]) for n in range(6)]
    assert max(rows for _, rows in service.models.network.calls) > 1


async def test_a_damaged_state_is_the_fault_of_no_other(service: Service, redis_client: "redis.Redis") -> None:
    damaged, sound = await begin(service), await begin(service)
    redis_client.hset(service.store.keys.record(damaged).decode(), "s", b"short")
    results = await asyncio.gather(step(service, damaged, 1), step(service, sound, 1), return_exceptions=True)
    assert isinstance(results[0], StoreCorrupt)
    assert await state(service, sound) == history([1])


@pytest.mark.parametrize("inputs", [a_step(1, 2), np.ones((1, 2), np.float32), np.ones((1, 1, 1), np.float32)])
async def test_a_step_of_another_shape_is_refused(service: Service, inputs: NDArray[np.float32]) -> None:
    key = await begin(service)
    with pytest.raises(ShapeMismatch) as caught:
        await service.sessions.step(key, inputs, APPEND)
    assert "batch_size, in_size" in str(caught.value.expected)
    assert (await position(service, key)).step == 0


async def test_a_sequence_has_one_step_at_least_and_the_limit_at_most(
    redis_url: str, start_service: StartService
) -> None:
    service = start_service(redis_url, max_sequence_steps=3)
    key = await begin(service)
    for values in ([], [1.0] * 4):
        with pytest.raises(ShapeMismatch):
            await service.sessions.sequence(key, a_sequence(*values), APPEND)
    assert (await service.sessions.sequence(key, a_sequence(1, 1, 1), APPEND)).position.step == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
async def test_inputs_that_are_not_finite_are_refused(service: Service, value: float) -> None:
    key = await begin(service)
    with pytest.raises(NotFinite):
        await step(service, key, value)


@pytest.mark.parametrize(("value", "error"), [(BAD_STATE, StateNotFinite), (BAD_OUTPUT, OutputNotFinite)])
async def test_a_step_that_would_not_be_finite_commits_nothing(
    service: Service, value: float, error: type[CellarError]
) -> None:
    key = await begin(service)
    before = await step(service, key, 1)
    with pytest.raises(error, match="step 1 "):
        await step(service, key, value)
    with pytest.raises(error, match="step 3 "):
        await service.sessions.sequence(key, a_sequence(1, 2, value, 3), APPEND)
    assert await position(service, key) == before.position
    assert output(await step(service, key, 2)) == history([1, 2])


async def test_a_session_of_another_arithmetic_is_refused_but_readable(
    redis_url: str, start_service: StartService
) -> None:
    key = await begin(start_service(redis_url))
    newer = start_service(redis_url, kernel_rev=2)
    with pytest.raises(KernelRevisionMismatch):
        await step(newer, key, 1)
    with pytest.raises(KernelRevisionMismatch):
        await newer.sessions.reset(key, APPEND)
    assert (await newer.sessions.get(key)).meta.kernel_rev == 1
    assert await state(newer, key) == history([])


async def test_a_session_of_another_arithmetic_takes_the_new_one_where_that_is_accepted(
    redis_url: str, start_service: StartService
) -> None:
    older, newer = start_service(redis_url), start_service(redis_url, kernel_rev=2, any_revision=True)
    key = await begin(older)
    await step(older, key, 1)
    await newer.sessions.update(key, ttl_s=60)
    assert (await newer.sessions.get(key)).meta.kernel_rev == 1
    assert output(await step(newer, key, 2)) == history([1, 2])
    assert (await older.sessions.get(key)).meta.kernel_rev == 2
    with pytest.raises(KernelRevisionMismatch):
        await step(older, key, 3)
    assert output(await step(newer, key, 3)) == history([1, 2, 3])


async def test_a_session_whose_model_was_replaced_is_refused(redis_url: str, start_service: StartService) -> None:
    key = await begin(start_service(redis_url))
    other_models = ExactModels()
    replaced = dataclasses.replace(other_models.get("default", "exact@1"), digest="e" * 64)
    other_models.get = lambda tenant, ref: replaced  # type: ignore[method-assign]  # noqa: ARG005  # a model made anew
    with pytest.raises(ModelDeleted):
        await step(start_service(redis_url, models=other_models), key, 1)


# --- identity -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["position", "step", "key"])
async def test_a_request_sent_again_is_replayed(redis_url: str, start_service: StartService, by: str) -> None:
    service, other = start_service(redis_url), start_service(redis_url)
    key = await begin(service)
    start = await position(service, key)
    identity = {"position": at(start), "step": Identity(step=0), "key": Identity(key="k")}[by]
    first = await step(service, key, 5, identity)
    assert not first.replayed
    for process in (service, other):
        again = await step(process, key, 5, identity)
        assert again.replayed
        assert (again.position, output(again)) == (first.position, output(first))
    assert await state(service, key) == history([5])


@pytest.mark.parametrize("by", ["position", "step", "key"])
async def test_another_body_under_the_same_identity_is_refused(service: Service, by: str) -> None:
    key = await begin(service)
    start = await position(service, key)
    identity = {"position": at(start), "step": Identity(step=0), "key": Identity(key="k")}[by]
    await step(service, key, 5, identity)
    with pytest.raises(FingerprintMismatch if by == "key" else StepTaken):
        await step(service, key, 6, identity)
    with pytest.raises(FingerprintMismatch if by == "key" else StepTaken):
        await service.sessions.sequence(key, a_sequence(5), identity)
    assert await state(service, key) == history([5])


@pytest.mark.parametrize("by", ["position", "step", "key"])
async def test_which_rows_are_reset_is_a_part_of_the_request(
    redis_url: str, start_service: StartService, by: str
) -> None:
    service, other = start_service(redis_url), start_service(redis_url)
    key = await begin(service, batch_size=2)
    await service.sessions.step(key, a_step(1, 2), APPEND)
    identity = {"position": at(await position(service, key)), "step": Identity(step=1), "key": Identity(key="k")}[by]
    first = await service.sessions.step(key, a_step(3, 4), identity, reset=[True, False])
    again = await other.sessions.step(key, a_step(3, 4), identity, reset=[True, False])
    assert (again.replayed, again.position) == (True, first.position)
    assert first.outputs is not None
    assert again.outputs is not None
    assert again.outputs.tolist() == first.outputs.tolist() == [[history([3]), history([2, 4])]]
    for reset in (False, True, [False, True]):
        with pytest.raises(FingerprintMismatch if by == "key" else StepTaken):
            await other.sessions.step(key, a_step(3, 4), identity, reset=reset)
    assert await position(service, key) == first.position


async def test_positions_order_what_a_client_sends(service: Service) -> None:
    key = await begin(service)
    where = await position(service, key)
    for value in range(5):
        where = (await step(service, key, value, at(where))).position
    assert await state(service, key) == history(range(5))


async def test_a_position_inside_a_sequence_overlaps_it(service: Service) -> None:
    key = await begin(service)
    await service.sessions.sequence(key, a_sequence(1, 2, 3), APPEND)
    with pytest.raises(Overlap) as caught:
        await step(service, key, 1, Identity(step=1))
    assert caught.value.boundaries == (0, 3)


async def test_a_client_ahead_is_told_where_the_session_is(service: Service) -> None:
    key = await begin(service)
    with pytest.raises(Regressed) as caught:
        await step(service, key, 1, Identity(step=4))
    assert caught.value.position == str(await position(service, key))


async def test_a_key_is_answered_even_if_the_request_would_fail_now(
    redis_url: str, start_service: StartService
) -> None:
    service = start_service(redis_url)
    key = await begin(service)
    first = await step(service, key, 5, Identity(key="k"))
    newer = start_service(redis_url, kernel_rev=2)
    again = await step(newer, key, 5, Identity(key="k"))
    assert again.replayed
    assert again.position == first.position
    with pytest.raises(KernelRevisionMismatch):
        await step(newer, key, 5, Identity(key="new"))


async def test_a_replay_whose_output_was_too_large_has_none(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, output_cap_bytes=12)
    key = await begin(service)
    await service.sessions.sequence(key, a_sequence(1, 2), Identity(step=0))
    again = await service.sessions.sequence(key, a_sequence(1, 2), Identity(step=0))
    assert (again.replayed, again.outputs, again.position.step) == (True, None, 2)


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_of_no_or_too_many_characters_is_refused(service: Service, key: str) -> None:
    with pytest.raises(InvalidInput):
        await step(service, await begin(service), 1, Identity(key=key))


async def test_a_position_and_another_step_contradict_each_other(service: Service) -> None:
    key = await begin(service)
    with pytest.raises(InvalidInput):
        await step(service, key, 1, Identity(position=await position(service, key), step=3))


# --- changes that are no steps --------------------------------------------------------------------------------------


async def test_reset_begins_a_new_epoch(service: Service) -> None:
    key = await begin(service)
    before = await step(service, key, 1)
    answer = await service.sessions.reset(key, APPEND)
    assert answer.position.step == 0
    assert answer.position.epoch != before.position.epoch
    with pytest.raises(EpochChanged):
        await step(service, key, 2, at(before.position))
    assert output(await step(service, key, 2, at(answer.position))) == history([2])


@pytest.mark.parametrize("by", ["position", "key"])
async def test_a_reset_sent_again_is_replayed(service: Service, by: str) -> None:
    key = await begin(service)
    where = (await step(service, key, 1)).position
    identity = at(where) if by == "position" else Identity(key="k")
    first = await service.sessions.reset(key, identity)
    await step(service, key, 7)
    again = await service.sessions.reset(key, identity)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.position == first.position
    assert await state(service, key) == history([7])


async def test_two_resets_without_identity_are_two(service: Service) -> None:
    key = await begin(service)
    first, second = await service.sessions.reset(key, APPEND), await service.sessions.reset(key, APPEND)
    assert first.position != second.position


async def test_a_reset_at_another_position_is_refused(service: Service) -> None:
    key = await begin(service)
    where = await position(service, key)
    await step(service, key, 1)
    with pytest.raises(StepTaken):
        await service.sessions.reset(key, at(where))
    assert await state(service, key) == history([1])


async def test_a_written_state_is_read_and_stepped_on(service: Service) -> None:
    key, other = await begin(service), await begin(service)
    where = (await step(service, key, 3)).position
    read = await service.states.read(key)
    assert (read.position, read.model) == (where, "exact@1")
    assert [(part.layer, part.name, part.values.shape) for part in read.parts] == [
        (0, "h", (1, 1)),
        (1, "h", (1, 1)),
        (1, "c", (1, 1)),
    ]
    parts = {(part.layer, part.name): part.values for part in read.parts}
    written = await service.states.write(other, parts, APPEND)
    assert written.position.step == 0
    assert output(await step(service, other, 4)) == history([3, 4])


async def test_a_written_state_sent_again_is_replayed(service: Service) -> None:
    key = await begin(service)
    where = await position(service, key)
    parts = {(layer, name): a_step(2) for layer, name in [(0, "h"), (1, "h"), (1, "c")]}
    first = await service.states.write(key, parts, at(where))
    again = await service.states.write(key, dict(reversed(parts.items())), at(where))
    assert (again.replayed, again.position) == (True, first.position)
    with pytest.raises(EpochChanged):
        await service.states.write(key, {**parts, (0, "h"): a_step(3)}, at(where))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({(0, "h"): None}, InvalidInput, "'h' of layer 0 is missing"),
        ({(2, "h"): a_step(1)}, InvalidInput, "'h' of layer 2 is no state"),
        ({(1, "c"): a_step(1, 2)}, ShapeMismatch, "'c' of layer 1"),
        ({(1, "c"): a_step(np.nan)}, NotFinite, "not finite"),
    ],
)
async def test_a_state_that_does_not_fit_is_refused(
    service: Service,
    change: dict[tuple[int, str], NDArray[np.float32] | None],
    error: type[CellarError],
    words: str,
) -> None:
    key = await begin(service)
    whole = {(0, "h"): a_step(1), (1, "h"): a_step(1), (1, "c"): a_step(1)}
    parts = {place: values for place, values in {**whole, **change}.items() if values is not None}
    with pytest.raises(error, match=words):
        await service.states.write(key, parts, APPEND)
    assert await state(service, key) == history([])


async def test_an_expired_session_cannot_be_deleted_and_stays_expired(
    service: Service, redis_client: "redis.Redis"
) -> None:
    key = await begin(service)
    redis_client.pexpire(service.store.keys.record(key), 0)
    for call in (service.sessions.delete, service.sessions.get):
        with pytest.raises(SessionExpired):
            await call(key)
