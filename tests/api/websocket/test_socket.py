"""One callback of the loop writes for all sockets, and each of them for itself."""

import asyncio

import pytest

from cellar.api.websocket.socket import DeferredWrites

pytestmark = pytest.mark.anyio


async def test_a_call_that_fails_does_not_prevent_the_others() -> None:
    turns, called = DeferredWrites(), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("a fault of our own")

    turns.add(fail)
    turns.add(called.set)
    async with asyncio.timeout(5):
        await called.wait()
        called.clear()
        turns.add(called.set)
        await called.wait()
