"""Shadows: every change is followed once, or counted as missed, and the session never knows."""

import asyncio
from typing import Any

import numpy as np
import pytest

from cellar.errors import ModelUnfit, NotKept, SessionUnknown, ShadowUnknown
from cellar.ports import APPEND, SessionKey
from cellar.sessions.history.replay_migrate import Replays
from cellar.sessions.history.shadows import ShadowAnswer, Shadows
from cellar.store.companions.shadows import RedisShadows
from tests.sessions.conftest import FakeClock, Service, StartService
from tests.sessions.session_calls import a_sequence, begin, position, state, step
from tests.sessions.versions import Versions

pytestmark = pytest.mark.anyio


def shadows_of(service: Service) -> Shadows:
    """Return the shadows of a service."""
    stored = RedisShadows(service.store._router, prefix=service.prefix)
    return Shadows(service.sessions, service.store, service.histories._history, stored, service.store.uses, FakeClock())


async def stepped(service: Service, *values: float, **options: Any) -> SessionKey:
    """Return a session of version 1 that has a log and has made these steps."""
    key = await begin(service, **{"model": "exact@1", "log": 1000, **options})
    for value in values:
        await step(service, key, value)
    return key


async def followed(shadows: Shadows, key: SessionKey) -> ShadowAnswer:
    """Let all shadows follow and return that of the session."""
    await shadows.follow_all("default")
    return await shadows.get(key)


async def test_a_version_that_agrees_never_differs(versions: Service) -> None:
    key, shadows = await stepped(versions, 1, 2), shadows_of(versions)
    began = await shadows.put(key, "exact@2")
    assert (began.shadow.model, began.behind) == ("exact@2", 0)
    await step(versions, key, 3)
    await versions.sessions.sequence(key, a_sequence(4, 5, 6), APPEND)
    await versions.sessions.reset(key, APPEND)
    await step(versions, key, 7)
    assert (await shadows.get(key)).behind == 4
    found = await followed(shadows, key)
    shadow = found.shadow
    assert (found.behind, shadow.steps, shadow.numbers, shadow.largest, shadow.missed) == (0, 5, 15, 0.0, 0)
    assert shadow.position == str(await position(versions, key))
    assert len(shadow.last) == 3
    assert shadow.state == shadow.own_state == (await versions.store.load(key)).state


async def test_one_that_begins_anew_differs_until_the_session_does_too(versions: Service) -> None:
    key, shadows = await stepped(versions, 1, 2), shadows_of(versions)
    await shadows.put(key, "exact@3")  # which has other states, so that it does not begin with the session's
    own = await step(versions, key, 5)
    assert own.outputs is not None
    first = (await followed(shadows, key)).shadow
    assert (first.steps, first.numbers) == (1, 3)
    assert first.largest == np.abs(own.outputs[0, 0] - [1, 6, 6]).max() > 0
    await versions.sessions.reset(key, APPEND)
    await step(versions, key, 6)
    second = (await followed(shadows, key)).shadow
    assert (second.steps, second.largest, second.last[-1][1]) == (2, first.largest, 0.0)


async def test_two_that_follow_at_once_count_each_change_once(redis_url: str, start_service: StartService) -> None:
    one, other = (start_service(redis_url, models=Versions()) for _ in range(2))
    key = await stepped(one)
    await shadows_of(one).put(key, "exact@3")
    steps = [step(each, key, value) for each in (one, other) for value in range(15)]
    turns = [shadows_of(each).follow_all("default") for each in (one, other) for _ in range(3)]
    await asyncio.gather(*steps, *turns)
    shadow = (await followed(shadows_of(one), key)).shadow
    assert (shadow.steps, shadow.missed, shadow.largest) == (30, 0, 0.0)
    assert shadow.state == (await one.store.load(key)).state


async def test_what_the_log_has_lost_is_counted(versions: Service, redis_client: Any) -> None:
    key, shadows = await stepped(versions, 1), shadows_of(versions)
    await shadows.put(key, "exact@2")
    for value in range(4):
        await step(versions, key, value)
    redis_client.xtrim(versions.store.keys.log(key), maxlen=2, approximate=False)
    found = await followed(shadows, key)
    assert (found.behind, found.shadow.missed, found.shadow.steps) == (0, 4, 0)
    await step(versions, key, 9)
    found = await followed(shadows, key)
    assert (found.shadow.missed, found.shadow.steps, found.shadow.stopped) == (4, 1, None)
    assert found.shadow.own_state == (await versions.store.load(key)).state


async def test_a_session_that_migrates_is_followed_on(versions: Service) -> None:
    key, shadows = await stepped(versions, 1), shadows_of(versions)
    replays = Replays(
        versions.sessions, versions.store, versions.histories._history, versions.store.uses, FakeClock(), kernel_rev=1
    )
    await shadows.put(key, "exact@2")
    await step(versions, key, 2)
    await replays.migrate(key, "exact@3", "replay", APPEND)
    await step(versions, key, 3)
    shadow = (await followed(shadows, key)).shadow
    assert (shadow.own_model, shadow.steps, shadow.largest, shadow.stopped) == ("exact@3", 2, 0.0, None)


async def test_one_that_cannot_follow_says_why_and_may_begin_again(versions: Service) -> None:
    key, shadows = await stepped(versions, 1), shadows_of(versions)
    await shadows.put(key, "exact@3")
    values = {place: np.full((1, 1), 5, np.float32) for place in ((0, "h"), (1, "h"), (1, "c"))}
    await versions.states.write(key, values, APPEND)
    await step(versions, key, 2)
    found = await followed(shadows, key)
    assert (found.shadow.stopped or "").startswith("model_unfit: ")
    assert found.behind == 2
    await shadows.put(key, "exact@3")
    await step(versions, key, 3)
    assert (await followed(shadows, key)).shadow.steps == 1


async def test_a_session_has_one_shadow_and_it_ends_with_it(versions: Service, redis_client: Any) -> None:
    key, shadows = await stepped(versions, 1, session="only"), shadows_of(versions)
    await shadows.put(key, "exact@2")
    await step(versions, key, 2)
    assert (await followed(shadows, key)).shadow.steps == 1
    assert (await shadows.put(key, "exact@2")).shadow.steps == 1  # the same again goes on
    assert (await shadows.put(key, "exact@3")).shadow.steps == 0
    await versions.sessions.delete(key)
    assert not redis_client.exists(versions.store.keys.shadow(key))
    with pytest.raises(SessionUnknown):
        await shadows.get(key)
    await stepped(versions, session="only")
    with pytest.raises(ShadowUnknown):
        await followed(shadows, key)


async def test_what_cannot_be_followed_is_refused(versions: Service) -> None:
    plain, logged, shadows = await begin(versions, model="exact@1"), await stepped(versions, 1), shadows_of(versions)
    with pytest.raises(NotKept):
        await shadows.put(plain, "exact@2")
    with pytest.raises(ModelUnfit):
        await shadows.put(logged, "exact@4")
    for call in (shadows.get, shadows.delete):
        with pytest.raises(ShadowUnknown):
            await call(logged)
    await shadows.put(logged, "exact@2")
    await shadows.delete(logged)
    with pytest.raises(ShadowUnknown):
        await shadows.get(logged)
    assert (await state(versions, logged))[0] == 1
