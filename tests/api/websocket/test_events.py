"""Server-sent events on real sockets: as they come, resumed, ended, and let go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Sent:
    """One event as a browser would see it."""

    event: str
    id: str
    data: Any


async def read(answer: httpx.Response) -> AsyncIterator[Sent]:
    """Yield the events of a stream."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Sent(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def watching(served: Served, session: str, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Sent]]:
    """Watch a session."""
    path = f"/v1/sessions/{session}/events{query}"
    async with served.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with aclosing(read(answer)) as events:  # type: ignore[type-var]  # aclosing wants a narrower type
            yield events


async def step(served: Served, session: str, rows: int = 1) -> Any:
    """Step a session and return the answer."""
    answer = await served.http.post(f"/v1/sessions/{session}/step", json={"input": [[1, 2]] * rows})
    assert answer.status_code == 200
    return answer.json()


async def next_of(events: AsyncIterator[Sent]) -> Sent:
    """Return the next event."""
    async with asyncio.timeout(20):
        return await anext(events)


async def test_outputs_and_changes_are_told_as_they_come(served: Served) -> None:
    session = await served.begin(events=100, batch_size=2)
    async with watching(served, session) as events:
        done = await step(served, session, rows=2)
        told = await next_of(events)
        assert (told.event, told.data["steps"], told.data["step"]) == ("step", 1, 1)
        assert told.data["outputs"] == [done["output"]]
        assert told.data["position"] == done["position"]
        reset = (await served.http.post(f"/v1/sessions/{session}/reset", json={"rows": [1]})).json()
        told = await next_of(events)
        assert (told.event, told.data["position"], told.data["outputs"]) == ("reset", reset["position"], None)
        assert (await served.http.delete(f"/v1/sessions/{session}")).status_code == 204
        assert (await next_of(events)).event == "deleted"
        with pytest.raises(StopAsyncIteration):
            await next_of(events)
    assert (await served.http.get(f"/v1/sessions/{session}/events")).status_code == 404


async def test_a_browser_that_comes_again_goes_on(served: Served) -> None:
    session = await served.begin(events=100)
    async with watching(served, session, "?kept=true") as events:
        first = await next_of(events)
        assert first.event == "create"
    positions = [(await step(served, session))["position"] for _ in range(3)]
    async with watching(served, session, **{"Last-Event-ID": first.id}) as events:
        assert [(await next_of(events)).data["position"] for _ in range(3)] == positions
    other = first.id.replace(first.id[:16], "0" * 16)
    async with watching(served, session, **{"Last-Event-ID": other}) as events:
        gap, again = await next_of(events), await next_of(events)
        assert (gap.event, gap.data, again) == ("gap", {"missed": None}, first)


async def test_a_client_that_vanishes_leaves(served: Served) -> None:
    session = await served.begin(events=100)
    watchers = served.app.state.services.event_hub
    async with watching(served, session):
        assert len(watchers._topics) == 1
    await until(lambda: not watchers._topics)


async def test_what_cannot_be_watched_is_refused(served: Served) -> None:
    session = await served.begin()
    path = f"/v1/sessions/{session}/events"
    assert (await served.http.get(path)).json()["type"] == "urn:cellar:problem:not_kept"
    for wrong in ("x", "0-0", f"{'0' * 16}-", f"{'0' * 16}-01", f"{'0' * 16}-{'9' * 17}", ""):
        refused = await served.http.get(path, headers={"Last-Event-ID": wrong})
        assert (refused.status_code, refused.json()["parameter"]) == (422, "Last-Event-ID"), wrong


async def test_watchers_of_a_service_that_stops_are_sent_away(settings: Settings) -> None:
    async with asyncio.timeout(20), serving(with_own_keys(settings)) as served:
        session = await served.begin(events=100)
        async with watching(served, session) as events:
            served.server.should_exit = True
            assert (await next_of(events)).event == "stopping"
            with pytest.raises(StopAsyncIteration):
                await next_of(events)
