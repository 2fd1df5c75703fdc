"""Models at hand are looked for again: one that was deleted is gone for the sessions of every process."""

import asyncio
import threading

import pytest

from cellar.errors import ModelUnknown
from cellar.ports import SessionKey
from cellar.runtime import models
from tests.runtime.conftest import Service
from tests.runtime.exact import ExactModel, history
from tests.runtime.session_calls import begin, output, state, step

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often."""
    monkeypatch.setattr(models, "RECHECK_S", 0.05)


async def until_refused(service: Service, key: SessionKey) -> None:
    """Step without a pause, for ten seconds at most."""
    async with asyncio.timeout(10):
        while True:
            await step(service, key, 1)


async def test_a_deleted_model_is_gone_while_it_is_in_use(service: Service) -> None:
    key = await begin(service)
    assert output(await step(service, key, 1)) == history([1])
    service.models.newest = 0
    with pytest.raises(ModelUnknown):
        await until_refused(service, key)
    with pytest.raises(ModelUnknown):
        await state(service, key)


async def test_a_deleted_model_is_gone_after_a_pause(service: Service) -> None:
    key = await begin(service)
    await step(service, key, 1)
    service.models.newest = 0
    await asyncio.sleep(3 * models.RECHECK_S)
    with pytest.raises(ModelUnknown):
        await step(service, key, 1)


async def test_a_model_in_use_is_asked_for_now_and_then(service: Service) -> None:
    key = await begin(service)
    await step(service, key, 1)
    before, steps = service.models.loads, 0
    async with asyncio.timeout(10):
        while service.models.loads < before + 3:
            await step(service, key, 1)
            steps += 1
    assert steps > 3


async def test_slow_loads_do_not_hold_up_the_look_at_a_model_in_use(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, opened, load = await begin(service), threading.Event(), service.models.load

    def load_slowly(tenant: str, ref: str) -> ExactModel:
        if ref.startswith("slow"):
            assert opened.wait(30)
        return load(tenant, ref)

    await step(service, key, 1)
    monkeypatch.setattr(service.sessions.models, "_load", load_slowly)
    slow = [asyncio.create_task(service.sessions.models.resolve("default", f"slow{n}")) for n in range(models.LOADERS)]
    try:
        before = service.models.loads
        async with asyncio.timeout(10):
            while service.models.loads < before + 3:
                await step(service, key, 1)
    finally:
        opened.set()
    assert {type(each) for each in await asyncio.gather(*slow, return_exceptions=True)} == {ModelUnknown}
