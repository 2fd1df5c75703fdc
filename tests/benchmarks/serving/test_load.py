"""The generator against a real server that answers every request: what it sends, and what it counts."""

import socketserver
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from benchmarks.frames import pack_answers, pack_steps
from benchmarks.serving.http import Refused, request
from benchmarks.serving.load import Job, once, run
from benchmarks.serving.websocket import frame
from cellar.wire.frames import frames

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Handler(socketserver.StreamRequestHandler):
    """Answers requests with the status in their path, and keeps their bodies of one byte."""

    def handle(self) -> None:
        assert isinstance(self.server, Server)
        with suppress(ConnectionError):  # the job ends in the middle of an answer
            while line := self.rfile.readline():
                while self.rfile.readline() != b"\r\n":
                    pass
                self.server.bodies.append(self.rfile.read(1))
                self.wfile.write(OK.replace(b"200", line.split()[1][1:]))


class Server(socketserver.ThreadingTCPServer):
    """Has a thread for each connection."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.port = int(self.server_address[1])


@contextmanager
def running() -> Iterator[Server]:
    """Run a server."""
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server that runs."""
    with running() as found:
        yield found


def test_a_closed_loop_sends_each_clients_requests_in_turn(server: Server) -> None:
    clients = ((request("/200", b"a"), request("/200", b"b")),)
    found = run(Job((server.port,), clients, seconds=0.05, warm_s=0.0))
    assert found.answered == len(found.latencies_s) > 2
    assert list(found.latencies_s) == sorted(found.latencies_s)
    assert server.bodies[:4] == [b"a", b"b", b"a", b"b"]
    assert found.rate == pytest.approx(found.answered / found.seconds)


def test_an_open_loop_sends_each_request_once_and_counts_those_after_the_warm_up(server: Server) -> None:
    due = array("d", [index * 0.001 for index in range(40)])
    clients = tuple((request("/200", bytes([65 + index])),) for index in range(3))
    found = run(Job((server.port,), clients, seconds=0.0, warm_s=0.0095, due_s=due))
    assert len(server.bodies) == 40
    assert found.answered == 30


def test_a_refusal_ends_the_job(server: Server) -> None:
    with pytest.raises(Refused, match="503"):
        run(Job((server.port,), ((request("/503", b"a"),),), seconds=10.0))


def test_once_sends_every_request_once(server: Server) -> None:
    requests = [request("/200", bytes([65 + index])) for index in range(20)]
    assert run(once((server.port,), requests, clients=3)).answered == 20
    assert sorted(server.bodies) == [bytes([65 + index]) for index in range(20)]


def test_clients_that_roam_use_all_addresses(server: Server) -> None:
    with running() as other:
        requests = [request("/200", b"a")] * 40
        run(replace(once((server.port, other.port), requests, clients=1), roam=True))
        assert len(server.bodies) + len(other.bodies) == 40
        assert server.bodies
        assert other.bodies


def answer_frames(line: ServerConnection, counts: list[int]) -> None:
    """Greet, and answer frames of steps, each with an answer by itself and one of the others; keep their sizes."""
    line.send("welcome")
    one = frames.Answer(0, 200, outputs=np.ones((1, 1, 1), np.float32))
    with suppress(ConnectionClosed):  # the job ends without a word
        for message in line:
            assert isinstance(message, bytes)
            counts.append(len(frames.unpack_steps(message)))
            line.send(pack_answers([one]))
            if counts[-1] > 1:
                line.send(pack_answers([one] * (counts[-1] - 1)))


def test_frames_have_as_many_steps_as_there_is_room_for() -> None:
    counts: list[int] = []
    step = frames.Step("", np.ones((1, 1, 1), np.float32))
    messages = tuple(frame(pack_steps([step] * count), "binary") for count in range(1, 6))
    with serve(lambda line: answer_frames(line, counts), "127.0.0.1", 0, compression=None) as server:
        threading.Thread(target=server.serve_forever).start()
        port = int(server.socket.getsockname()[1])
        found = run(Job((port,), (messages,), 0.1, warm_s=0.0, window=5, speech="frames", paths=("/",)))
        server.shutdown()
    assert counts[0] == 5
    assert set(counts) <= {1, 2, 3, 4, 5}
    assert 5 < found.answered <= sum(counts)
