"""One callback of the loop writes for all sockets, and each of them for itself."""

import asyncio

import pytest

from cellar.api.websocket.socket import DeferredWrites

pytestmark = pytest.mark.anyio


async def test_who_fails_keeps_nobody_from_his_turn() -> None:
    turns, heard = DeferredWrites(), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("a fault of our own")

    turns.add(fail)
    turns.add(heard.set)
    async with asyncio.timeout(5):
        await heard.wait()
        heard.clear()
        turns.add(heard.set)
        await heard.wait()
