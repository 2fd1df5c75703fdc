"""Answers that nobody takes hold neither a connection nor memory for ever; slow clients that do take them stay."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from cellar.api.fast_http.flow_control import LOOK_S, UnreadAnswers
from cellar.api.limits.body_memory import BodyMemory
from cellar.settings import Settings
from tests.api.conftest import with_own_keys
from tests.api.connections import connected, of_the_service, request, step
from tests.api.websocket.conftest import Served, serving, until

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
PATIENCE_S, LEAST_BYTES = 20.0, 20 * 1024.0


class Client:
    """The loop and the transport of a connection whose client takes what the test says."""

    def __init__(self, memory: BodyMemory, left_bytes: int) -> None:
        self.now_s = 0.0
        self.left_bytes = left_bytes
        self.is_cut_off = False
        self._due: tuple[Callable[[], object], ...] = ()
        self.answers = UnreadAnswers(cast(Any, self), cast(Any, self), memory)
        self.answers.begin(PATIENCE_S, LEAST_BYTES)

    def time(self) -> float:
        return self.now_s

    def call_later(self, _delay_s: float, call: Callable[[], object]) -> "Client":
        self._due = (call,)
        return self

    def cancel(self) -> None:
        self._due = ()

    def get_write_buffer_size(self) -> int:
        return self.left_bytes

    def abort(self) -> None:
        self.is_cut_off = True
        self.answers.end()

    def takes(self, bytes_a_second: int, seconds: int) -> None:
        """Let time pass, in which it takes a part of its answer."""
        for _ in range(seconds):
            self.now_s += LOOK_S
            self.left_bytes = max(0, self.left_bytes - bytes_a_second)
            for call in self._due:
                call()


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    memory = BodyMemory(100 * MEBIBYTE)
    client = Client(memory, MEBIBYTE)
    client.takes(0, 19)
    assert (client.is_cut_off, memory.held_bytes) == (False, MEBIBYTE)
    client.takes(0, 1)
    assert (client.is_cut_off, memory.held_bytes) == (True, 0)


def test_a_client_that_takes_too_little_is_cut_off_and_a_steady_one_is_not() -> None:
    memory = BodyMemory(100 * MEBIBYTE)
    slow, steady = Client(memory, MEBIBYTE), Client(memory, MEBIBYTE)
    for client, pace in ((slow, 1000), (steady, 1100)):
        client.takes(pace, 100)
    assert (slow.is_cut_off, steady.is_cut_off) == (True, False)
    assert memory.held_bytes == MEBIBYTE - 100 * 1100, "what it has taken is given back"


def test_what_all_of_them_have_not_taken_is_bounded() -> None:
    memory = BodyMemory(8 * MEBIBYTE)
    clients = [Client(memory, 2 * MEBIBYTE) for _ in range(5)]
    for client in clients:
        client.takes(0, 1)
    assert [client.is_cut_off for client in clients] == [False, False, False, True, True]
    assert memory.held_bytes == 6 * MEBIBYTE


def test_what_is_taken_at_once_counts_nowhere() -> None:
    memory = BodyMemory(1024)
    client = Client(memory, MEBIBYTE)
    client.answers.end()
    client.takes(0, 100)
    assert not client.is_cut_off
    assert memory.held_bytes == 0


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    """Yield a server that is not patient."""
    async with serving(with_own_keys(settings, body_timeout_s=0.2)) as served:
        yield served


async def test_a_connection_whose_answers_nobody_takes_ends(served: Served) -> None:
    session, asked = await served.begin(), b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with connected(served) as client, connected(served) as other:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(asked)
        await until(lambda: len(served.server.server_state.connections) == 3)  # the third one is that of `served.http`
        service = of_the_service(served, client)
        client.writer.write(asked * 200)  # more than the system takes of their answers
        await until(lambda: service not in served.server.server_state.connections)
        other.writer.write(request(session, step(1, 2)))
        assert (await other.answer()).status == 200
        assert served.app.state.load.bodies.held_bytes == 0
