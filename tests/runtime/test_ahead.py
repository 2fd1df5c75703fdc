"""Half-steps: computed while nobody waits, used for the state that they belong to, and dropped with it."""

import asyncio

import numpy as np
import pytest

from cellar.ports import APPEND
from cellar.runtime import ahead
from tests.runtime.conftest import Service, StartService
from tests.runtime.exact import history
from tests.runtime.session_calls import a_sequence, begin, output, step, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def service(redis_url: str, start_service: StartService) -> Service:
    """Return a service whose model is large enough for half-steps."""
    made = start_service(redis_url)
    made.models.network.ahead_flops = ahead.LEAST_FLOPS
    return made


async def rest(service: Service) -> None:
    """Wait until another half-step was computed, and is kept."""
    assert await asyncio.to_thread(service.models.network.computed.acquire, timeout=10)
    lanes = service.sessions._lanes._cache._lanes
    await until(lambda: any(lane.ahead is not None for lane in lanes.values()))


async def test_an_idle_service_computes_ahead_and_the_next_step_uses_it(service: Service) -> None:
    key = await begin(service)
    for number in range(1, 4):
        assert output(await step(service, key, number)) == history(range(1, number + 1))
        await rest(service)
    assert service.models.network.used == 2


async def test_small_models_and_sequences_are_left_alone(service: Service) -> None:
    key = await begin(service)
    await service.sessions.sequence(key, a_sequence(1, 2), APPEND)
    service.models.network.ahead_flops -= 1
    await step(service, key, 3)
    await asyncio.sleep(0.05)
    assert service.models.network.aheads == 0


async def test_a_service_that_was_told_so_computes_nothing(redis_url: str, start_service: StartService) -> None:
    service = start_service(redis_url, ahead=False)
    service.models.network.ahead_flops = ahead.LEAST_FLOPS
    key = await begin(service)
    await step(service, key, 1)
    await asyncio.sleep(0.05)
    assert service.models.network.aheads == 0


async def test_what_was_computed_for_another_state_is_not_used(
    redis_url: str, start_service: StartService, service: Service
) -> None:
    """Another replica moves the session on: the exact network would notice a half-step of another state."""
    key = await begin(service)
    await step(service, key, 1)
    await rest(service)
    other = start_service(redis_url)
    assert output(await step(other, key, 2)) == history([1, 2])
    assert output(await step(service, key, 3)) == history([1, 2, 3])


async def test_a_busy_service_computes_nothing_ahead(service: Service) -> None:
    """While requests of other sessions wait, what was offered is let be."""
    keys = [await begin(service) for _ in range(8)]

    async def stream(key: object, count: int) -> None:
        for _ in range(count):
            await step(service, key, 1)  # type: ignore[arg-type]  # a session's key, as begin gave it

    await asyncio.gather(*(stream(key, 20) for key in keys))
    assert service.models.network.aheads < 8 * 20 / 2


async def test_a_service_that_stops_computes_nothing_more(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The threads are gone by the time that the last session which was stepped has its turn."""
    key = await begin(service)
    await step(service, key, 1)
    await service.sessions.aclose(1)
    await asyncio.sleep(0.05)
    assert not [record for record in caplog.records if record.name == ahead.__name__]


async def test_a_half_step_that_fails_harms_nobody(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(state: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> None:
        raise MemoryError

    monkeypatch.setattr(service.models.network, "ahead", fail)
    key = await begin(service)
    for number in range(1, 4):
        assert output(await step(service, key, number)) == history(range(1, number + 1))
        await asyncio.sleep(0.01)
