"""Requests that compile delay no others, are bounded, and end with their clients."""

import asyncio
import json
import os
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cellar.api.fast_http import bounded
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected
from tests.api.websocket.conftest import NETWORK, Served, serving, until
from tests.engine.backend.test_compile_pool import compilers

pytestmark = pytest.mark.anyio

MOST = 3

NESTED = "h = " + "tanh(" * 12 + "W @ x" + ")" * 12 + " + h * {number}"
"""A cell that was not compiled yet, which takes a while."""


@pytest.fixture(scope="module")
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server with a limit that tests can reach."""
    async with serving(with_own_keys(settings, compile_queue=MOST)) as served:
        yield served


@contextmanager
def held_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Event]]:
    """Let the compiler take its time while the context lasts."""
    go_on, begun, create = threading.Event(), [threading.Event()], served.app.state.services.registry.create

    def slow(*arguments: Any, **named: Any) -> Any:
        begun[0].set()
        go_on.wait(30)
        return create(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(served.app.state.services.registry, "create", slow)
        try:
            yield begun
        finally:
            go_on.set()


async def test_compilations_are_bounded_and_delay_no_others(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    compiles = served.app.state.services.compiles
    with held_up(served, monkeypatch):
        waiting = [
            asyncio.create_task(served.http.post("/v1/models", json={"name": f"m{number}", "network": NETWORK}))
            for number in range(MOST)
        ]
        await until(lambda: compiles.count == MOST)
        refused = await served.http.post("/v1/models", json={"name": "more", "network": NETWORK})
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:cellar:problem:overloaded")
        assert refused.headers["retry-after"] == "5"
        long = " " * 100_000  # more than is read without a thread
        session = await served.begin()
        answer = await served.http.post(
            f"/v1/sessions/{session}/step",
            content=json.dumps({"input": [1, 2]}) + long,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 200
    assert [(await one).status_code for one in waiting] == [201] * MOST
    await until(lambda: compiles.count == 0)


@pytest.mark.parametrize("aborted", [True, False])
async def test_a_compilation_ends_with_its_client(
    served: Served, aborted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its system says so by a reset, or the client closes its connection as if it waited for an answer."""
    monkeypatch.setattr(bounded, "PROBE_S", 0.05)
    equations = NESTED.format(number=f"0.{secrets.randbelow(10**9):09d}")
    layers = [{"type": "recurrent", "cell": {"equations": equations}, "hidden_size": 4}]
    body = json.dumps({"name": f"gone-{aborted}", "network": {"in_size": 2, "layers": layers}}).encode()
    head = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with connected(served) as client:
        client.writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await until(lambda: bool(compilers(os.getpid())))
        if aborted:
            client.writer.transport.abort()
        else:
            client.writer.close()
        await until(lambda: served.app.state.services.compiles.count == 0)
    assert compilers(os.getpid()) == []
    assert (await served.http.get(f"/v1/models/gone-{aborted}")).status_code == 404
