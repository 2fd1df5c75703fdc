"""Events of a session, which continue after a lost connection."""

import asyncio
from threading import Thread

import pytest

from cellar_client import AsyncClient, Client, Event
from cellar_client import errors as client_errors
from cellar_client.sessions.events import EventParser
from tests.clients.python.proxy import running_proxy


def test_the_events_of_a_session_until_its_end(client: Client) -> None:
    session = client.session(model="exact", events=100)
    session.sequence([[1], [2]])
    session.reset()
    session.step([3])
    ending = Thread(target=session.delete)
    found = []
    for event in session.events(kept=True):
        found.append(event)
        if event.kind == "step":
            ending.start()  # events do not keep the session from being used
    ending.join()
    assert [event.kind for event in found] == ["create", "sequence", "reset", "step", "deleted"]
    assert found[1].outputs is not None
    assert (found[1].steps, found[1].outputs.shape) == (2, (2, 1, 1))
    assert (found[3].step, found[4]) == (1, Event("deleted"))


def test_events_begin_behind_one_that_is_known(client: Client) -> None:
    session = client.session(model="exact", events=100)
    for value in range(3):
        session.step([value])
    kept = session.events(kept=True)
    first = next(kept), next(kept)
    assert [event.step for event in first] == [0, 1]
    kept.close()  # type: ignore[attr-defined]  # a generator
    later = session.events(after=first[1].id)
    assert [next(later).step for _ in range(2)] == [2, 3]
    with pytest.raises(client_errors.NotKept):
        next(client.session(model="exact").events())


def test_events_continue_after_lost_connections(client: Client, service_url: str) -> None:
    session = client.session(model="exact", events=1000)

    async def watched() -> list[int]:
        async with running_proxy(service_url) as proxy, AsyncClient(proxy.url) as lossy:
            watching = await lossy.session(session.name)
            found = []
            async for event in watching.events(kept=True):
                found.append(event.step)
                if event.step == 20:
                    return found
                if event.step % 3 == 0:
                    proxy.cut()
                await asyncio.to_thread(session.step, [1])
        return found

    assert asyncio.run(asyncio.wait_for(watched(), 60)) == list(range(21))


def test_events_in_any_parts() -> None:
    text = b'retry: 1000\n\n: nothing\n\nevent: gap\ndata: {"missed":3}\n\nevent: step\nid: ab-1\ndata: {"step":1}\n\n'
    for size in (1, 7, 1000):
        parser = EventParser()
        found = [event for at in range(0, len(text), size) for event in parser.feed(text[at : at + size])]
        assert [(event.kind, event.id, event.missed, event.step) for event in found] == [
            ("gap", "", 3, 0),
            ("step", "ab-1", None, 1),
        ]
