"""Loaded models: one cache, bounded by bytes, which neither busy models nor those used last have to leave."""

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass

import pytest

from cellar.errors import ModelDeleted, ModelUnknown
from cellar.ports import ModelVersion, SessionKey
from cellar.sessions.execution import model_cache
from cellar.sessions.execution.model_cache import ModelKey
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import ExactModel, ExactModels, history
from tests.sessions.gate import Gate
from tests.sessions.session_calls import begin, output, step, until

pytestmark = pytest.mark.anyio

ROOM_FOR_TWO = 2500
"""Models of the exact network have 1,000 bytes."""


@pytest.fixture
def small(redis_url: str, start_service: StartService) -> Service:
    """Return a service that has four versions of the model and room for two."""
    return start_service(redis_url, models=ExactModels(newest=4), model_cache_bytes=ROOM_FOR_TWO)


async def sessions_of(service: Service, *numbers: int) -> dict[int, SessionKey]:
    """Create a session of each of these versions."""
    return {number: await begin(service, model=f"exact@{number}") for number in numbers}


def loaded(service: Service) -> set[str]:
    """Return the versions that are loaded."""
    return {key.ref for key in service.sessions.models._served}


async def test_what_was_used_longest_ago_leaves_when_bytes_are_short(small: Service) -> None:
    keys = await sessions_of(small, 1, 2)
    await step(small, keys[2], 1)
    await step(small, keys[1], 1)
    keys |= await sessions_of(small, 3)
    assert loaded(small) == {"exact@1", "exact@3"}
    assert output(await step(small, keys[2], 2)) == history([1, 2]), "it is loaded again"
    assert loaded(small) == {"exact@2", "exact@3"}


async def test_steps_that_begin_at_once_keep_their_model(small: Service) -> None:
    """They find the model with their session, and do not ask the cache for it."""
    keys = await sessions_of(small, 1, 2)
    for number in (1, 2, 1, 1):
        await step(small, keys[number], 1)
    loads = small.models.loads
    await sessions_of(small, 3)
    await step(small, keys[1], 1)
    assert small.models.loads == loads + 1


async def test_a_model_with_work_on_its_way_stays(small: Service) -> None:
    keys = await sessions_of(small, 1)
    gate = Gate(small.models.network)
    running = asyncio.create_task(step(small, keys[1], 1))
    try:
        await gate.reached()
        await sessions_of(small, 2, 3)
        assert loaded(small) == {"exact@1", "exact@3"}
    finally:
        gate.open()
    assert output(await running) == history([1])


async def test_a_session_that_is_known_does_not_keep_its_model_loaded(small: Service) -> None:
    keys = await sessions_of(small, 1)
    await step(small, keys[1], 1)
    model = weakref.ref(small.sessions.models._served[ModelKey("default", "exact@1", f"{1:064x}")])
    await sessions_of(small, 2, 3)
    gc.collect()
    assert model() is None
    assert output(await step(small, keys[1], 2)) == history([1, 2])


async def test_a_model_larger_than_all_of_the_room_is_served(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, models=ExactModels(newest=2), model_cache_bytes=10)
    for key in (await sessions_of(service, 1, 2)).values():
        assert output(await step(service, key, 1)) == history([1])
    assert loaded(service) == {"exact@2"}


async def test_many_who_want_a_model_load_it_once(small: Service) -> None:
    await asyncio.gather(*[begin(small, model="exact@2") for _ in range(20)])
    assert small.models.loads == 1


async def test_a_model_is_loaded_once_however_long_it_is_in_use(service: Service) -> None:
    key = await begin(service)
    for _ in range(50):
        await step(service, key, 1)
    assert service.models.loads == 1


@pytest.mark.parametrize("deleted", [True, False])
async def test_weights_that_went_with_their_version_were_deleted(
    redis_url: str, start_service: StartService, deleted: bool
) -> None:
    """The version was found a moment before it was deleted. Weights that are lost are another fault."""

    class Going(ExactModels):
        def load(self, version: ModelVersion) -> ExactModel:
            self.newest = 0 if deleted else 1
            raise ModelUnknown(f"the weights of {version.ref} are gone")

    key = await begin(start_service(redis_url))
    service = start_service(redis_url, models=Going())
    with pytest.raises(ModelDeleted if deleted else ModelUnknown) as caught:
        await step(service, key, 1)
    assert isinstance(caught.value, ModelDeleted) is deleted


async def test_slow_loads_do_not_hold_up_a_look_at_another_model(service: Service) -> None:
    opened = threading.Event()
    service.models.newest = 1 + model_cache.LOADERS
    load = service.models.load

    def load_slowly(version: ModelVersion) -> ExactModel:
        assert version.version == 1 or opened.wait(30)
        return load(version)

    service.models.load = load_slowly  # type: ignore[method-assign]  # the double's
    slow = [asyncio.create_task(begin(service, model=f"exact@{n}")) for n in range(2, 2 + model_cache.LOADERS)]
    try:
        await until(lambda: len(service.sessions.models._loading) == model_cache.LOADERS)
        with pytest.raises(ModelUnknown):
            await asyncio.wait_for(service.sessions.models.find("default", "nothing"), 10)
    finally:
        opened.set()
    await asyncio.gather(*slow)


async def test_looks_for_one_reference_are_shared_and_begin_after_they_were_asked_for(small: Service) -> None:
    """A look that runs may have read the store before a version was published; a later request needs the next one."""
    models, asked = small.sessions.models, list[str]()
    get, gate = small.models.get, threading.Event()

    def slow(tenant: str, ref: str) -> ModelVersion:
        """Note the look, and wait."""
        asked.append(ref)
        gate.wait(5)
        return get(tenant, ref)

    small.models.get = slow  # type: ignore[method-assign]  # replaced for this test
    first = asyncio.create_task(models.find("default", "exact"))
    async with asyncio.timeout(5):
        while not asked:  # noqa: ASYNC110  # a thread notes it
            await asyncio.sleep(0.001)
    others = [asyncio.create_task(models.find("default", "exact")) for _ in range(9)]
    others[0].cancel()
    gate.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert len(asked) == 2
    assert [isinstance(each, asyncio.CancelledError) for each in found].count(True) == 1


@dataclass(eq=False)
class Compiled:
    """What models of one network share."""

    size_bytes: int = 600


@dataclass(frozen=True)
class SharingModel(ExactModel):
    """A model that shares it."""

    shared: Compiled | None = None  # type: ignore[assignment]  # the exact model shares nothing


class Sharing(ExactModels):
    """Versions of two networks: the odd ones, and the even ones."""

    def __init__(self) -> None:
        super().__init__(newest=6)
        self.compiled = Compiled(), Compiled()

    def load(self, version: ModelVersion) -> ExactModel:
        """Load a model."""
        return SharingModel(version, self.network, shared=self.compiled[version.version % 2])


async def test_what_models_share_counts_once_and_leaves_with_the_last_of_them(
    redis_url: str, start_service: StartService
) -> None:
    service = start_service(redis_url, models=Sharing(), model_cache_bytes=3700)
    cache = service.sessions.models
    await sessions_of(service, 1, 3, 5)
    assert (loaded(service), cache.size_bytes) == ({"exact@1", "exact@3", "exact@5"}, 3600)
    await sessions_of(service, 2)
    assert (loaded(service), cache.size_bytes) == ({"exact@5", "exact@2"}, 3200), "two must leave for two networks"
    await sessions_of(service, 4)
    assert (loaded(service), cache.size_bytes) == ({"exact@2", "exact@4"}, 2600)
    cache.drop("default", "exact")
    assert (loaded(service), cache.size_bytes, cache._by_use) == (set(), 0, [])


async def test_memory_that_grows_is_counted_with_the_next_model(redis_url: str, start_service: StartService) -> None:
    models = Sharing()
    service = start_service(redis_url, models=models, model_cache_bytes=3700)
    await sessions_of(service, 1, 3)
    models.compiled[1].size_bytes = 1800
    await sessions_of(service, 5)
    assert (loaded(service), service.sessions.models.size_bytes) == ({"exact@5"}, 2800)


async def test_a_fleet_that_does_not_fit_is_served_with_a_load_for_each_model_that_left(small: Service) -> None:
    """Twenty sessions of each of four models, where two fit: all that wait for a model wait for one load."""
    keys = [(await sessions_of(small, number))[number] for number in (1, 2, 3, 4) for _ in range(20)]
    before = small.models.loads
    answers = await asyncio.gather(*[step(small, key, 1) for key in keys])
    assert [output(answer) for answer in answers] == [history([1])] * 80
    assert small.models.loads - before <= 8
