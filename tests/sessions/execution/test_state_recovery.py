"""Commits that store inputs in place of the state: every session comes back bit by bit, in every process."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.errors import KernelRevisionMismatch, ModelDeleted, StoreCorrupt
from cellar.ports import APPEND, ROW_LEFT_OUT, ROW_RESET, RowChoice, SessionKey
from cellar.sessions.history.history import RewindTarget
from cellar.sessions.operations.forks import Forks
from cellar.sessions.values.deleted_model import known_of
from cellar.store.companions.snapshots import RedisSnapshots
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.exact import ExactNetwork, Place, Run, Sizes, history
from tests.sessions.history.test_replay_migrate import replays_of
from tests.sessions.history.test_shadows import followed, shadows_of
from tests.sessions.operations.test_snapshots import snapshots_of
from tests.sessions.scheduling.test_alias_follower import following, move
from tests.sessions.session_calls import a_sequence, a_step, begin, output, state, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio

EVERY = 8
IDLE = 29
"""Floats of a row that the exact network does not use. With them a state is 32 times as long as an input."""

WIDE = Sizes(
    state_size=3 + IDLE,
    states=(Place(0, "h", 1, 0), Place(1, "h", 1, 1), Place(1, "c", 1, 2), Place(2, "idle", IDLE, 3)),
)


class WideNetwork(ExactNetwork):
    """The exact network with a large state."""

    def initial_state(self, rows: int) -> NDArray[np.float32]:
        """Return zeros."""
        return np.zeros((rows, 3 + IDLE), np.float32)

    def run(self, inputs: NDArray[np.float32], state: tuple[bytes, ...], *others: Any, **options: Any) -> Run:
        """Run the exact network, and count in the rest of the state."""
        before = np.frombuffer(b"".join(state), np.float32).reshape(-1, 3 + IDLE)
        run = super().run(inputs, (before[:, :3].tobytes(),), *others, **options)
        run.state = np.hstack([run.state, run.state[:, :1] + np.arange(IDLE, dtype=np.float32)])
        return run


class WideModels(Versions):
    """Versions of the wide network, of which some may be deleted."""

    def __init__(self, *, bits_promised: bool = True) -> None:
        super().__init__()
        self.network = WideNetwork(network=dataclasses.replace(WIDE, bits_promised=bits_promised))


StartWide = Any


@pytest.fixture
def start(redis_url: str, start_service: StartService) -> StartWide:
    """Return a maker of services that store every eighth state."""

    def start_wide(**options: Any) -> Service:
        return start_service(redis_url, **{"models": WideModels(), "state_every": EVERY, **options})

    return start_wide


async def stepped(service: Service, *values: float, **options: Any) -> SessionKey:
    """Return a session of version 1 that has made these steps."""
    key = await begin(service, **{"model": "exact@1", **options})
    for value in values:
        await step(service, key, value)
    return key


async def present(service: Service, key: SessionKey) -> list[float]:
    """Return the state that the service answers, as `exact.history` does."""
    return (await state(service, key))[:3]


async def unstored(service: Service, key: SessionKey) -> int:
    """Return of how many commits inputs are stored in place of the state."""
    return len((await service.store.load(key)).redo)


async def test_a_session_comes_back_after_each_step(start: StartWide) -> None:
    """The whole state is stored by creation, and by each eighth step."""
    service, plain = start(), start(state_every=1)
    key, values, stored = await stepped(service), [float(value) for value in range(20)], []
    for at, value in enumerate(values):
        await step(service, key, value)
        assert await present(plain, key) == history(values[: at + 1]), "another process computes it"
        stored.append(await unstored(service, key))
    assert stored == [1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4]
    assert output(await step(plain, key, 20)) == history([*values, 20])
    assert await unstored(service, key) == 0, "a process that stores every state does so"
    assert output(await step(service, key, 21)) == history([*values, 20, 21])


async def test_requests_of_every_kind_are_run_again(start: StartWide) -> None:
    service = start(state_every=1024)
    key, values = await stepped(service), [1.0, 2, 3, 4, 5, 6, 7, 8, 9]
    await service.sessions.sequence(key, a_sequence(1, 2, 3), APPEND)
    await service.sessions.ask_batch(key, a_sequence(4, 5))
    with service.sessions._scheduler.together():
        asked = [service.sessions.ask(key, "step", a_sequence(value)) for value in (6, 7)]
    await asyncio.gather(*asked)
    again = await service.sessions.step(key, a_step(8), APPEND, reset=True)
    await step(service, key, 9)
    assert output(again) == history([8])
    assert await unstored(service, key) > 3
    assert await present(start(), key) == history(values[7:])
    calls = (other := start()).models.network.calls
    assert output(await step(other, key, 10)) == history([8, 9, 10])
    assert calls == [(7, 1), (2, 1), (1, 1)], "steps up to the reset, then from the reset on, then the new one"


async def test_rows_that_are_reset_or_left_out_are_run_again(start: StartWide) -> None:
    service, plain = start(state_every=1024), start(state_every=1)
    keys = [await begin(each, 64, model="exact@1") for each in (service, plain)]
    draw = np.random.default_rng(0)
    for steps in (1, 3, 1):
        rows = [int(row) for row in draw.choice(64, 5, replace=False)]
        flags = draw.choice([0, 0, ROW_RESET, ROW_LEFT_OUT], (steps, 5)).astype(np.uint8)
        inputs = draw.integers(0, 100, (steps, 5, 1)).astype(np.float32)
        for each, key in zip((service, plain), keys, strict=True):
            choice = RowChoice(numbers=rows, flags=flags)
            await each.sessions.sequence(key, inputs, APPEND, rows=choice)
    assert await unstored(service, keys[0]) == 3
    found = [(await start().states.read(key)).parts for key in keys]
    assert all((one.values == other.values).all() for one, other in zip(*found, strict=True))
    record = service.store.keys.record(keys[0])
    sizes = await service.store._client.read([(b"HSTRLEN", record, b"i%d" % number) for number in range(3)])
    assert max(int(size) for size in sizes if isinstance(size, int)) < 64 * 4, "of 5 rows, not of all"


async def test_two_processes_that_step_in_turn(start: StartWide) -> None:
    services: Sequence[Service] = [start(), start()]
    key, values = await stepped(services[0]), [float(value) for value in range(40)]
    for at, value in enumerate(values):
        answer = await step(services[at // 3 % 2], key, value)
        assert output(answer) == history(values[: at + 1])
        assert await unstored(services[0], key) < 4, "a process that had to compute the state stores it"
    many = [service.sessions.step(key, a_step(1), APPEND) for service in services for _ in range(20)]
    counts = {output(answer)[0] for answer in await asyncio.gather(*many)}
    assert counts == {float(count) for count in range(41, 81)}
    assert await present(start(), key) == history([*values, *[1] * 40])


async def test_a_session_that_was_compact_goes_on_storing_inputs(start: StartWide) -> None:
    service = start()
    key = await stepped(service, 1, 2)
    cache = service.sessions._scheduler._cache
    assert cache._take_queue(compact=True)
    await step(service, key, 3)
    assert await unstored(service, key) == 3
    assert await present(start(), key) == history([1, 2, 3])


async def test_changes_that_are_no_steps_store_the_state(start: StartWide) -> None:
    service = start()
    key = await stepped(service, 1, 2, history=4, log=100)
    await service.sessions.update(key, ttl_s=50)
    assert await unstored(service, key) == 0
    assert output(await step(service, key, 3)) == history([1, 2, 3])
    await start().histories.rewind(key, RewindTarget(step=2), APPEND)
    assert await unstored(service, key) == 0
    assert output(await step(service, key, 4)) == history([1, 2, 4])
    await start().sessions.reset(key, APPEND)
    assert await unstored(service, key) == 0
    assert output(await step(service, key, 5)) == history([5])


async def test_copies_have_the_state_of_their_moment(start: StartWide) -> None:
    service, other = start(), start()
    key = await stepped(service, 1, 2, 3)
    assert (await snapshots_of(service).take(key, "s", APPEND)).taken
    copies = RedisSnapshots(other.store._router, other.store, prefix=other.prefix)
    forks = Forks(other.sessions, other.store, copies, FakeClock(), most_bytes=2**20)
    made = [await forks.fork(key, [f"{key.session}-{number}"], identity) for number, identity in enumerate([APPEND])]
    for value in range(4, 20):
        await step(service, key, value)
    child = SessionKey("default", made[0].children[0].session)
    assert output(await step(other, child, 9)) == history([1, 2, 3, 9])
    await snapshots_of(start()).restore(key, "s", APPEND)
    assert output(await step(service, key, 9)) == history([1, 2, 3, 9])
    assert [each.name for each in await snapshots_of(other).list(key)] == ["s"]
    await snapshots_of(other).delete(key, "s")


async def test_a_shadow_begins_with_the_present_state(start: StartWide) -> None:
    service, other = start(), start()
    key, shadows = await stepped(service, 1, 2, log=100), shadows_of(other)
    await shadows.put(key, "exact@2")
    await step(service, key, 3)
    found = await followed(shadows, key)
    assert (found.shadow.steps, found.shadow.largest, found.shadow.stopped) == (1, 0.0, None)


async def test_a_network_without_promised_bits_stores_each_state(start: StartWide) -> None:
    service = start(models=WideModels(bits_promised=False))
    key = await stepped(service, 1, 2, 3)
    assert await unstored(service, key) == 0


async def test_without_its_model_a_session_can_only_migrate(start: StartWide) -> None:
    """The other version runs the steps whose states the deleted one has not stored."""
    service = start()
    key = await stepped(service, 1, 2, 3)
    await service.store.uses.fence("default", "exact@1", known_of(WIDE))
    for each in (service, start()):
        for way in (step(each, key, 4), present(each, key)):
            with pytest.raises(ModelDeleted, match="the model exact@1"):
                await way
        await each.sessions.update(key, ttl_s=50)
    assert (await service.sessions.get(key)).position.step == 3
    await replays_of(start()).migrate(key, "exact@2", "carry", APPEND)
    assert output(await step(service, key, 4)) == history([1, 2, 3, 4])


async def test_a_session_of_another_revision_is_computed_again_only_when_it_takes_the_new_one(
    start: StartWide,
) -> None:
    old, new, any_ = start(), start(kernel_rev=2), start(kernel_rev=2, any_revision=True)
    key, other = [await stepped(old, 1, 2, 3) for _ in range(2)]
    for way in (step(new, key, 4), present(new, key)):
        with pytest.raises(KernelRevisionMismatch):
            await way
    assert await present(any_, other) == history([1, 2, 3])
    assert output(await step(any_, other, 4)) == history([1, 2, 3, 4])
    await replays_of(new, kernel_rev=2).migrate(key, "exact@1", "carry", APPEND)
    assert output(await step(new, key, 4)) == history([1, 2, 3, 4])


async def test_an_alias_that_moves_takes_the_present_state_along(start: StartWide) -> None:
    models = WideModels()
    service, other = start(models=models), start(models=models)
    key = await following(service)
    for value in (1, 2, 3):
        await step(service, key, value)
    await move(service, 2, other)
    count = service.store.uses.count
    assert (await count("default", "exact@1", {"live"})).sessions == 1, "the session needs the version for its state"
    answer = await step(other, key, 4)
    assert (answer.model, output(answer)) == ("exact@2", history([1, 2, 3, 4]))
    assert (await count("default", "exact@1", {"live"})).sessions == 0


async def test_a_record_that_lacks_inputs_is_damaged(start: StartWide, redis_client: Any) -> None:
    service = start()
    key = await stepped(service, 1, 2, 3)
    redis_client.hdel(service.store.keys.record(key), "i1")
    with pytest.raises(StoreCorrupt):
        await present(start(), key)
    with pytest.raises(StoreCorrupt):
        await step(start(), key, 4)
