"""Every way into the service acts for the tenant of its caller, and sees nothing of another's."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import numpy as np
import pytest

from benchmarks.frames import pack_steps
from cellar.settings import Settings
from cellar.wire.frames import columns, frames
from cellar.wire.json import lines
from tests.api.connections import connected, request, step
from tests.api.keys import administration, with_keys
from tests.api.websocket.conftest import NETWORK, Served, serving

pytestmark = pytest.mark.anyio

HEADER = "authorization"

STEPS = 5

KEYS: dict[str, str] = {}
"""The value of the header of each tenant."""


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with a session `s` of each of two tenants; a third one has a key alone."""
    own = with_keys(settings)
    keys = administration(own)
    KEYS.update({tenant: f"Bearer {keys.create(tenant, '', ['step', 'train']).text}" for tenant in "abc"})
    async with serving(own, KEYS["c"].removeprefix("Bearer ")) as served:
        for tenant in "ab":
            for path, body in (
                ("models", {"name": "gru", "network": NETWORK}),
                ("sessions", {"session": "s", "model": "gru"}),
            ):
                made = await served.http.post(f"/v1/{path}", json=body, headers={HEADER: KEYS[tenant]})
                assert made.status_code == 201, made.text
        yield served


@pytest.fixture(autouse=True)
async def both_at_the_start(served: Served) -> None:
    """Put the sessions at their beginning."""
    for tenant in "ab":
        reset = await served.http.post("/v1/sessions/s/reset", headers={HEADER: KEYS[tenant]})
        assert reset.is_success, reset.text


async def by_the_protocol(served: Served) -> None:
    async with connected(served) as client:
        for _ in range(STEPS):
            client.writer.write(request("s", step(1, 2), f"{HEADER}: {KEYS['a']}".encode()))
            assert (await client.answer()).status == 200


async def by_the_application(served: Served) -> None:
    for _ in range(STEPS):
        answer = await served.http.post(
            "/v1/sessions/s/step", json={"input": [1, 2]}, headers={HEADER: KEYS["a"], "x-other": "1"}
        )
        assert answer.status_code == 200


async def post(served: Served, path: str, content: bytes, media_type: str) -> httpx.Response:
    answer = await served.http.post(path, content=content, headers={HEADER: KEYS["a"], "content-type": media_type})
    assert answer.status_code == 200
    return answer


async def by_lines(served: Served) -> None:
    await post(served, "/v1/steps", b'{"session":"s","input":[1,2]}\n' * STEPS, lines.MEDIA_TYPE)


async def by_frames(served: Served) -> None:
    one = frames.Step("s", np.ones((1, 1, 2), np.float32))
    assert columns.FEWEST < STEPS
    await post(served, "/v1/steps", pack_steps([one] * STEPS), frames.MEDIA_TYPE)


async def by_a_long_sequence(served: Served) -> None:
    await post(served, "/v1/sessions/s/sequence/stream", b'{"input":[1,2]}\n' * STEPS, lines.MEDIA_TYPE)


async def by_messages(served: Served) -> None:
    async with served.stream(None, **{HEADER: KEYS["a"]}) as stream:
        await stream.receive()
        for number in range(STEPS):
            assert (await stream.ask(session="s", input=[1, 2]))["step"] == number + 1


async def by_frames_of_a_socket(served: Served) -> None:
    async with served.stream("s", **{HEADER: KEYS["a"]}) as stream:
        assert (await stream.receive())["step"] == 0
        await stream.send_frame(*[frames.Step("", np.ones((1, 1, 2), np.float32))] * STEPS)
        await stream.receive_frames(STEPS)


WAYS: list[Callable[[Served], Awaitable[None]]] = [
    by_the_protocol,
    by_the_application,
    by_lines,
    by_frames,
    by_a_long_sequence,
    by_messages,
    by_frames_of_a_socket,
]


@pytest.mark.parametrize("way", WAYS)
async def test_steps_are_those_of_the_callers_session(served: Served, way: Callable[[Served], Awaitable[None]]) -> None:
    await way(served)
    found = [await served.http.get("/v1/sessions/s", headers={HEADER: KEYS[tenant]}) for tenant in "abc"]
    assert [answer.json().get("step") for answer in found] == [STEPS, 0, None]
    assert found[-1].status_code == 404


async def test_a_listing_has_the_callers_own(served: Served) -> None:
    for tenant, expected in (("a", ["s"]), ("c", [])):
        sessions = (await served.http.get("/v1/sessions", headers={HEADER: KEYS[tenant]})).json()["sessions"]
        assert [session["session"] for session in sessions] == expected
