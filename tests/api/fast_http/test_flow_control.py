"""A connection whose client takes no answers ends."""

from collections.abc import AsyncIterator

import pytest

from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that is not patient."""
    async with serving(with_own_keys(settings, body_timeout_s=0.2)) as served:
        yield served


async def test_a_connection_whose_answers_are_not_read_ends(served: Served) -> None:
    session, asked = await served.begin(), b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with connected(served) as client, connected(served) as other:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's reader has it
        client.writer.write(asked)
        await until(lambda: len(served.server.server_state.connections) == 3)  # the third one is that of `served.http`
        service = of_the_service(served, client)
        client.writer.write(asked * 200)  # more than the system takes of their answers
        await until(lambda: service not in served.server.server_state.connections)
        other.writer.write(request(session, step(1, 2)))
        assert (await other.answer()).status == 200
        assert served.app.state.load.memory.held_bytes == 0
