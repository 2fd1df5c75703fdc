"""Answers that are not read hold neither a connection nor memory for ever; slow clients that do take them stay."""

from collections.abc import Callable
from typing import Any, cast

from cellar.api.limits.unread_answers import LOOK_S, UnreadAnswers
from cellar.memory.request_memory import RequestMemory

MEBIBYTE = 1024 * 1024
PATIENCE_S, LEAST_BYTES = 20.0, 20 * 1024.0


class Client:
    """The loop and the transport of a connection whose client takes what the test says."""

    def __init__(self, memory: RequestMemory, left_bytes: int) -> None:
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
    memory = RequestMemory(100 * MEBIBYTE)
    client = Client(memory, MEBIBYTE)
    client.takes(0, 19)
    assert (client.is_cut_off, memory.held_bytes) == (False, MEBIBYTE)
    client.takes(0, 1)
    assert (client.is_cut_off, memory.held_bytes) == (True, 0)


def test_a_client_that_takes_too_little_is_cut_off_and_a_steady_one_is_not() -> None:
    memory = RequestMemory(100 * MEBIBYTE)
    slow, steady = Client(memory, MEBIBYTE), Client(memory, MEBIBYTE)
    for client, pace in ((slow, 1000), (steady, 1100)):
        client.takes(pace, 100)
    assert (slow.is_cut_off, steady.is_cut_off) == (True, False)
    assert memory.held_bytes == MEBIBYTE - 100 * 1100, "what it has taken is given back"


def test_what_all_of_them_have_not_taken_is_bounded() -> None:
    memory = RequestMemory(8 * MEBIBYTE)
    clients = [Client(memory, 2 * MEBIBYTE) for _ in range(5)]
    for client in clients:
        client.takes(0, 1)
    assert [client.is_cut_off for client in clients] == [False, False, False, True, True]
    assert memory.held_bytes == 6 * MEBIBYTE


def test_what_is_taken_at_once_counts_nowhere() -> None:
    memory = RequestMemory(1024)
    client = Client(memory, MEBIBYTE)
    client.answers.end()
    client.takes(0, 100)
    assert not client.is_cut_off
    assert memory.held_bytes == 0
