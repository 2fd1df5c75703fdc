"""Sessions that a service of the first revision of the arithmetic has stored go on with this one."""

import json
import uuid
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import redis

from cellar.engine import KERNEL_REV
from cellar.main import create_app
from cellar.settings import Settings
from tests.stored.make import PREFIX, STEPS, number

pytestmark = pytest.mark.anyio

STORED: dict[str, Any] = json.loads((Path(__file__).parent / "revision_1.json").read_text())

Serve = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
async def serve(redis_url: str, kernel_directory: Path) -> AsyncIterator[Serve]:
    """Yield a way to start services of this revision on what is stored."""
    prefix = f"test-{uuid.uuid4().hex}"
    with redis.Redis.from_url(redis_url) as client:
        for key, value in STORED["keys"].items():
            client.restore(prefix + key.removeprefix(PREFIX), 0, b64decode(value))
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> httpx.AsyncClient:
            app = create_app(Settings(redis_url=redis_url, cache_dir=kernel_directory, key_prefix=prefix, **settings))
            await stack.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app)
            return await stack.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url="http://localhost/v1/sessions", timeout=60)
            )

        yield start


async def step(service: httpx.AsyncClient, session: str, count: int) -> httpx.Response:
    """Take a step."""
    return await service.post(f"/{session}/step", json={"input": number(count), "step": count})


def assert_near(found: Any, wanted: Any) -> None:
    """Assert that numbers of two revisions differ by rounding, and only by that."""
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


async def state(service: httpx.AsyncClient, session: str) -> list[dict[str, Any]]:
    """Return the layers of a session's state."""
    return list((await service.get(f"/{session}/state")).raise_for_status().json()["layers"])


async def test_a_session_of_the_first_revision_is_refused_and_readable(serve: Serve) -> None:
    service = await serve()
    refused = await step(service, "carried", STEPS)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:cellar:problem:kernel_revision_mismatch")
    assert (await service.get("/carried")).json()["kernel_rev"] == 1 != KERNEL_REV
    assert await state(service, "carried") == STORED["state"]


async def test_an_answer_that_was_lost_before_the_upgrade_is_given_again(serve: Serve) -> None:
    service = await serve()
    again = await step(service, "carried", STEPS - 1)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["output"] == STORED["outputs"][-1]


@pytest.mark.parametrize(("session", "how"), [("carried", "carry"), ("replayed", "replay")])
async def test_a_session_migrates_to_this_revision(serve: Serve, session: str, how: str) -> None:
    service = await serve()
    moved = await service.post(f"/{session}/migrate", json={"model": "old@1", "how": how})
    assert moved.status_code == 200, moved.text
    assert (await service.get(f"/{session}")).json()["kernel_rev"] == KERNEL_REV
    for layer, was in zip(await state(service, session), STORED["state"], strict=True):
        for name in was.keys() - {"layer", "cell"}:
            assert_near(layer[name], was[name])
    if how == "carry":
        assert await state(service, session) == STORED["state"]
    gone_on = await step(service, session, 0)
    assert gone_on.status_code == 200, gone_on.text


async def test_a_session_goes_on_where_other_revisions_are_accepted(serve: Serve) -> None:
    strict, accepting = await serve(), await serve(accept_revisions=True)
    assert (await step(strict, "accepted", STEPS)).status_code == 409
    taken = await step(accepting, "accepted", STEPS)
    assert (taken.status_code, taken.json()["step"]) == (200, STEPS + 1)
    assert (await accepting.get("/accepted")).json()["kernel_rev"] == KERNEL_REV
    # the same steps from the initial state, by this revision alone
    sibling = await accepting.post("/replayed/migrate", json={"model": "old@1", "how": "replay"})
    assert sibling.status_code == 200, sibling.text
    alike = await accepting.post("/replayed/step", json={"input": number(STEPS)})
    assert_near(taken.json()["output"], alike.json()["output"])
    assert (await step(strict, "accepted", STEPS + 1)).status_code == 200


async def test_a_snapshot_of_the_first_revision_is_not_mixed_with_this_one(serve: Serve) -> None:
    service = await serve()
    (await service.post("/kept/migrate", json={"model": "old@1", "how": "carry"})).raise_for_status()
    restored = await service.post("/kept/restore", json={"snapshot": "before"})
    assert (restored.status_code, restored.json()["type"]) == (409, "urn:cellar:problem:kernel_revision_mismatch")
