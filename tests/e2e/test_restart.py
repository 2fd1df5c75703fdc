"""SIGHUP: a process is replaced, and what clients have under way in the old one is finished."""

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.e2e.replica import Replica, alive, serving
from tests.e2e.test_serve import begin, count
from tests.waiting import wait_until


@pytest.fixture
def service(private: dict[str, str]) -> Iterator[Replica]:
    """Yield a service of one process with the session `s` of a counter."""
    with serving(private) as started:
        begin(started)
        yield started


@contextmanager
def connected(service: Replica) -> Iterator[socket.socket]:
    """Yield a connection."""
    url = httpx.URL(service.url)
    with socket.create_connection((url.host, url.port or 0), timeout=30) as connection:
        yield connection


def ask(connection: socket.socket, step: int) -> bytes:
    """Send a step on a connection, and return the whole answer."""
    body = json.dumps({"input": [1], "step": step})
    head = "POST /v1/sessions/s/step HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection.recv(4096)


@contextmanager
def retired(service: Replica) -> Iterator[int]:
    """Have the process replaced; yield the old one as soon as it lets its clients leave."""
    old = service.child("api")
    with connect(service.url.replace("http", "ws", 1) + "/v1/sessions/s/stream") as stream:
        stream.recv(timeout=20)
        service.process.send_signal(signal.SIGHUP)
        assert "stopping" in json.loads(stream.recv(timeout=60))
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=20)
        assert stream.close_code == 1012
    yield old
    wait_until(lambda: not alive(old), 30, "the old one ends")


def test_connections_that_are_open_are_answered_once_more(service: Replica) -> None:
    with ExitStack() as stack:
        used, unused, silent = (stack.enter_context(connected(service)) for _ in range(3))
        assert b"200 OK" in ask(used, 0)
        with retired(service):
            for step, connection in enumerate((used, unused), 1):
                answer = ask(connection, step)
                assert b"200 OK" in answer
                assert b"connection: close" in answer
            assert silent.recv(1) == b"", "it is closed once its time is over"
        assert b"connection: close" not in ask(stack.enter_context(connected(service)), 3)


def test_a_long_sequence_is_finished(service: Replica) -> None:
    sending, retiring = threading.Event(), threading.Event()

    def lines() -> Iterator[bytes]:
        """Yield steps before and after the process is asked to leave."""
        yield b'{"input": [1]}\n' * 10
        sending.set()
        assert retiring.wait(60)
        yield b'{"input": [1]}\n' * 10

    answers: list[httpx.Response] = []

    def send() -> None:
        """Send the sequence."""
        headers = {"Content-Type": "application/x-ndjson"}
        url = f"{service.url}/v1/sessions/s/sequence/stream"
        answers.append(httpx.post(url, content=lines(), headers=headers, timeout=60))

    thread = threading.Thread(target=send)
    thread.start()
    assert sending.wait(30)
    with retired(service):
        retiring.set()
        thread.join(60)
    assert answers[0].status_code == 200
    assert json.loads(answers[0].text.splitlines()[-1])["steps"] == 20, answers[0].text
    assert count(service, 20) == 21


def test_a_stop_during_a_restart_stops_all(service: Replica) -> None:
    with connected(service) as silent:
        old = service.child("api")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(service.children("api")) == 2, 30, "the new one starts")
        both = service.children("api")
        assert old in both
        assert service.stop() == 0
        assert silent.recv(1) == b""
    assert not any(map(alive, both))
