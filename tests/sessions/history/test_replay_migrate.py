"""Logs run on other versions, and sessions that go on with them: carried, replayed or refused, and once."""

import asyncio

import numpy as np
import pytest

from cellar.errors import (
    AlreadyExists,
    EpochChanged,
    FingerprintMismatch,
    KernelRevisionMismatch,
    ModelUnfit,
    ModelUnknown,
    NotKept,
    OutOfReach,
)
from cellar.ports import APPEND, Identity, Position, SessionKey
from cellar.sessions.history.history import RewindTarget
from cellar.sessions.history.replay_migrate import Replays
from tests.proxy import LossyProxy, first
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import a_sequence, a_step, at, begin, position, state, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio


def replays_of(service: Service, *, kernel_rev: int = 1) -> Replays:
    """Return the replays of a service."""
    return Replays(
        service.sessions,
        service.store,
        service.histories._history,
        service.store.uses,
        FakeClock(),
        kernel_rev=kernel_rev,
    )


async def stepped(service: Service, *values: float, **options: int) -> SessionKey:
    """Return a session of version 1 that has made these steps."""
    key = await begin(service, model="exact@1", **options)
    for value in values:
        await step(service, key, value)
    return key


async def test_a_session_that_another_process_has_migrated_goes_on(redis_url: str, start_service: StartService) -> None:
    """In a process that was asked for it before, and could not step it."""
    old = start_service(redis_url)
    one, other = (start_service(redis_url, kernel_rev=2) for _ in range(2))
    key = await begin(old)
    await step(old, key, 1)
    with pytest.raises(KernelRevisionMismatch):
        await step(one, key, 2)
    with pytest.raises(ModelUnknown):
        await replays_of(one, kernel_rev=2).migrate(key, "nothing", "carry", APPEND)
    await replays_of(other, kernel_rev=2).migrate(key, "exact", "carry", APPEND)
    await step(one, key, 2)
    assert await state(one, key) == history([1, 2])


async def model_of(service: Service, key: SessionKey) -> str:
    """Return the version that a session has."""
    return (await service.sessions.get(key)).meta.model


async def test_a_session_is_carried_to_a_version_with_the_same_states(versions: Service) -> None:
    key = await stepped(versions, 1, 2)
    before = await position(versions, key)
    answer = await replays_of(versions).migrate(key, "exact@2", "carry", APPEND)
    assert (answer.position.step, answer.replayed) == (0, False)
    assert answer.position.epoch != before.epoch
    assert await model_of(versions, key) == "exact@2"
    assert await state(versions, key) == history([1, 2])
    await step(versions, key, 3)
    assert await state(versions, key) == history([1, 2, 3])


async def test_a_version_with_other_states_needs_the_log(versions: Service) -> None:
    plain, logged = await stepped(versions, 1, 2), await stepped(versions, 1, 2, log=100)
    replays = replays_of(versions)
    for how, error in (("carry", ModelUnfit), ("replay", NotKept), ("auto", ModelUnfit)):
        with pytest.raises(error):
            await replays.migrate(plain, "exact@3", how, APPEND)  # type: ignore[arg-type]  # each is one of them
    assert await model_of(versions, plain) == "exact@1"
    await replays.migrate(logged, "exact@3", "auto", APPEND)
    assert await model_of(versions, logged) == "exact@3"
    [part] = (await versions.states.read(logged)).parts
    assert (part.name, part.values[0].tolist()) == ("other", history([1, 2]))
    with pytest.raises(ModelUnfit):
        await replays.migrate(logged, "exact@4", "auto", APPEND)
    with pytest.raises(ModelUnknown):
        await replays.migrate(logged, "nothing", "auto", APPEND)


async def test_a_course_begins_with_the_last_state_that_was_given(versions: Service) -> None:
    key = await stepped(versions, 1, 2, log=100)
    await versions.sessions.reset(key, APPEND)
    await step(versions, key, 5)
    await versions.sessions.update(key, ttl_s=100)
    replays = replays_of(versions)
    await replays.migrate(key, "exact@2", "replay", APPEND)
    assert await state(versions, key) == history([5])
    await step(versions, key, 6)
    await replays.migrate(key, "exact@3", "replay", APPEND)  # through the migration before: the whole course
    [part] = (await versions.states.read(key)).parts
    assert part.values[0].tolist() == history([5, 6])


async def test_rows_that_began_anew_do_so_on_another_version(versions: Service) -> None:
    key = await stepped(versions, log=100, batch_size=2)
    await versions.sessions.step(key, a_step(1, 2), APPEND)
    await versions.sessions.step(key, a_step(3, 4), APPEND, reset=[True, False])
    await versions.sessions.reset(key, APPEND, rows=[1])
    await versions.sessions.step(key, a_step(5, 6), APPEND)
    await replays_of(versions).migrate(key, "exact@3", "replay", APPEND)
    [part] = (await versions.states.read(key)).parts
    assert part.values.tolist() == [history([3, 5]), history([6])]


async def test_a_state_that_was_given_fits_only_where_the_states_are_the_same(versions: Service) -> None:
    key = await stepped(versions, 1, log=100)
    values = {place: np.full((1, 1), 5, np.float32) for place in ((0, "h"), (1, "h"), (1, "c"))}
    await versions.states.write(key, values, APPEND)
    replays = replays_of(versions)
    with pytest.raises(ModelUnfit):
        await replays.migrate(key, "exact@3", "auto", APPEND)
    await replays.migrate(key, "exact@2", "replay", APPEND)
    assert await state(versions, key) == [5, 5, 5]


async def test_nothing_goes_back_beyond_another_model(versions: Service) -> None:
    key = await stepped(versions, 1, 2, history=10, log=100)
    before = await position(versions, key)
    await replays_of(versions).migrate(key, "exact@3", "replay", APPEND)
    with pytest.raises(OutOfReach):
        await versions.histories.rewind(key, RewindTarget(to=before), APPEND)
    after = await step(versions, key, 7)
    assert [kept.position.step for kept in (await versions.histories.history(key)).states] == [0]
    await versions.histories.rewind(key, RewindTarget(step=0), APPEND)
    await versions.histories.rewind(key, RewindTarget(to=after.position), APPEND)
    [part] = (await versions.states.read(key)).parts
    assert part.values[0].tolist() == history([1, 2, 7])


@pytest.mark.parametrize("identity", ["position", "key"])
async def test_a_migration_happens_once(versions: Service, identity: str) -> None:
    key = await stepped(versions, 1, log=10)
    who = at(await position(versions, key)) if identity == "position" else Identity(key="k")
    replays = replays_of(versions)
    one = await replays.migrate(key, "exact@2", "auto", who)
    await step(versions, key, 2)
    other = await replays.migrate(key, "exact@2", "auto", who)
    assert (one.position, one.replayed, other.replayed) == (other.position, False, True)
    assert await state(versions, key) == history([1, 2])
    with pytest.raises((EpochChanged, FingerprintMismatch)):
        await replays.migrate(key, "exact@3", "auto", who)


async def test_a_migration_whose_reply_is_lost_happens_once(redis_url: str, start_service: StartService) -> None:
    async with LossyProxy(redis_url, first(0)) as proxy:
        service = start_service(proxy.url, models=Versions())
        key = await stepped(service, 1, 2)
        proxy._loses = first(1)
        await replays_of(service).migrate(key, "exact@2", "auto", APPEND)
        assert proxy.cuts == 1
        assert (await service.store.load(key)).revision == 3


async def test_steps_of_other_processes_meanwhile_are_part_of_it(redis_url: str, start_service: StartService) -> None:
    """Whenever the migration happens among the steps, the session has made all of them, each once."""
    one, other = (start_service(redis_url, models=Versions()) for _ in range(2))
    key = await stepped(one, log=1000)
    steps = [step(each, key, 1) for each in (one, other) for _ in range(20)]
    await asyncio.gather(*steps[:20], replays_of(one).migrate(key, "exact@3", "replay", APPEND), *steps[20:])
    assert await model_of(other, key) == "exact@3"
    [part] = (await other.states.read(key)).parts
    assert part.values[0].tolist() == history([1] * 40)


async def test_a_migration_brings_a_session_to_the_arithmetic_of_the_service(
    redis_url: str, start_service: StartService
) -> None:
    old, new = start_service(redis_url, kernel_rev=1), start_service(redis_url, kernel_rev=2)
    key = await stepped(old, 1, 2)
    with pytest.raises(KernelRevisionMismatch):
        await step(new, key, 3)
    await replays_of(new, kernel_rev=2).migrate(key, "exact@1", "carry", APPEND)
    await step(new, key, 3)
    assert await state(new, key) == history([1, 2, 3])
    with pytest.raises(KernelRevisionMismatch):
        await step(old, key, 4)


async def test_a_log_becomes_another_session(versions: Service) -> None:
    key = await stepped(versions, 1, 2, log=100)
    await versions.sessions.sequence(key, a_sequence(3, 4), APPEND)
    replays = replays_of(versions)
    answer = await replays.replay(key, "exact@3", session="copy")
    assert (answer.model, answer.steps, answer.differences) == ("exact@3", 4, None)
    assert answer.ended == await position(versions, key)
    copy = SessionKey("default", "copy")
    [part] = (await versions.states.read(copy)).parts
    assert part.values[0].tolist() == history([1, 2, 3, 4])
    assert await replays.replay(key, "exact@3", session="copy") == answer
    await step(versions, key, 5)
    with pytest.raises(AlreadyExists):
        await replays.replay(key, "exact@3", session="copy")


async def test_a_log_is_run_from_where_it_is_asked_to(versions: Service) -> None:
    key = await stepped(versions, 1, 2, log=100)
    born = (await versions.histories.log(key, -1, 1)).entries[0].after
    await versions.sessions.reset(key, APPEND)
    await step(versions, key, 3)
    replays = replays_of(versions)
    assert (await replays.replay(key, "exact@2")).steps == 1
    assert (await replays.replay(key, "exact@2", since=born)).steps == 3
    with pytest.raises(OutOfReach):
        await replays.replay(key, "exact@2", since=Position(born.epoch, 1, born.digest))


async def test_a_log_that_has_lost_its_beginning_is_refused(versions: Service, redis_client: object) -> None:
    key = await stepped(versions, 1, 2, 3, log=100)
    # the object has it
    redis_client.xtrim(versions.store.keys.log(key), maxlen=2, approximate=False)  # type: ignore[attr-defined]
    replays = replays_of(versions)
    with pytest.raises(OutOfReach):
        await replays.replay(key, "exact@2")
    with pytest.raises(OutOfReach):
        await replays.migrate(key, "exact@2", "replay", APPEND)
    await replays.migrate(key, "exact@2", "auto", APPEND)
    assert await state(versions, key) == history([1, 2, 3])
