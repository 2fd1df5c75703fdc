"""How long a session is kept, changed while it is in use: no step is lost, and no process goes back to what was."""

import asyncio

import numpy as np
import pytest
import redis

from cellar.errors import FingerprintMismatch, InvalidInput, SessionExpired, StepTaken
from cellar.ports import APPEND, Identity, SessionKey
from tests.sessions.conftest import Service, StartService
from tests.sessions.exact import history
from tests.sessions.session_calls import at, begin, output, position, state, step

pytestmark = pytest.mark.anyio


def left_s(client: "redis.Redis", service: Service, key: SessionKey) -> float:
    """Return how long the record has to live, below 0 if for ever."""
    left = client.pttl(service.store.keys.record(key))
    assert isinstance(left, int)
    return left / 1000


async def test_a_lifetime_is_another_from_then_on(service: Service, redis_client: "redis.Redis") -> None:
    key = await begin(service)
    before = (await step(service, key, 1)).position
    answer = (await service.sessions.update(key, ttl_s=50)).session
    assert (answer.meta.ttl_s, answer.meta.pinned, answer.position) == (50, False, before)
    assert 49 < left_s(redis_client, service, key) <= 50
    await service.sessions.update(key, ttl_s=9000)
    assert 8999 < left_s(redis_client, service, key) <= 9000
    assert int(redis_client.pttl(service.store.keys.tombstone(key))) >= (9000 + 86400) * 1000 - 1000
    await step(service, key, 2, at(before))
    assert 8999 < left_s(redis_client, service, key) <= 9000
    assert await state(service, key) == history([1, 2])
    with pytest.raises(InvalidInput):
        await service.sessions.update(key, ttl_s=0)


async def test_a_pinned_session_never_expires_until_it_is_let_go(service: Service, redis_client: "redis.Redis") -> None:
    key = await begin(service)
    assert (await service.sessions.update(key, pinned=True)).session.meta.pinned
    await step(service, key, 1)
    assert left_s(redis_client, service, key) < 0
    redis_client.delete(service.store.keys.tombstone(key))  # as when it was pinned for longer than that lives
    answer = (await service.sessions.update(key, pinned=False)).session
    assert (answer.meta.pinned, answer.meta.ttl_s) == (False, 3600)
    assert 3599 < left_s(redis_client, service, key) <= 3600
    redis_client.pexpire(service.store.keys.record(key), 0)
    with pytest.raises(SessionExpired):
        await step(service, key, 2)


async def test_another_process_does_not_undo_it(
    redis_url: str, start_service: StartService, redis_client: "redis.Redis"
) -> None:
    """It knows the session as it was, and goes on stepping."""
    one, other = start_service(redis_url), start_service(redis_url)
    key = await begin(one)
    await step(other, key, 1)
    await one.sessions.update(key, ttl_s=50, pinned=True)
    assert output(await step(other, key, 2)) == history([1, 2])
    assert left_s(redis_client, one, key) < 0
    assert (await other.sessions.get(key)).meta.ttl_s == 50


async def test_changes_at_once_all_hold_and_no_step_is_lost(redis_url: str, start_service: StartService) -> None:
    one, other = start_service(redis_url), start_service(redis_url)
    key = await begin(one)
    await asyncio.gather(
        one.sessions.update(key, ttl_s=77),
        other.sessions.update(key, pinned=True),
        *(step(service, key, 1) for service in (one, other) * 5),
    )
    found = await one.sessions.get(key)
    assert (found.meta.ttl_s, found.meta.pinned, found.position.step) == (77, True, 10)
    assert await state(other, key) == history([1] * 10)


async def test_a_step_beside_it_is_replayed_as_ever(service: Service) -> None:
    key = await begin(service)
    where = await position(service, key)
    await service.sessions.update(key, ttl_s=50)
    first = await step(service, key, 1, at(where))
    await service.sessions.update(key, ttl_s=60)
    again = await step(service, key, 1, at(where))
    assert (again.position, again.replayed) == (first.position, True)
    assert again.outputs is not None
    np.testing.assert_array_equal(again.outputs, first.outputs)
    by_number = await step(service, key, 1, Identity(step=0))
    assert (by_number.position, by_number.replayed) == (first.position, True)
    with pytest.raises(StepTaken):
        await step(service, key, 2, at(where))
    await step(service, key, 2, at(first.position))
    assert await state(service, key) == history([1, 2])


async def test_a_change_with_a_key_happens_once(service: Service) -> None:
    key = await begin(service)
    await service.sessions.update(key, ttl_s=50, once="k")
    await service.sessions.update(key, ttl_s=60)
    late = await service.sessions.update(key, ttl_s=50, once="k")
    assert (late.session.meta.ttl_s, late.replayed) == (60, True)
    with pytest.raises(FingerprintMismatch):
        await service.sessions.update(key, ttl_s=51, once="k")
    await service.sessions.reset(key, APPEND)
    assert (await service.sessions.get(key)).meta.ttl_s == 60
