"""The load generator: a process of its own that does what its parent sends it, one job after the other.

It is lean, so that it is not what is measured: sockets and epoll, requests built beforehand, answers only counted.
"""

import select
import socket
import sys
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from benchmarks.serving import http, websocket

Speech = Literal["http", "websocket"]

CONNECT_S = 30.0

_SLACK = Path("/proc/self/timerslack_ns")


@dataclass(frozen=True, slots=True)
class Job:
    """Load on one address: each client sends its requests over one connection, over and over.

    Closed loop: a client has `window` requests under way, and sends the next when an answer has come.
    Open loop: requests are due at the times `due_s` (ascending, from the start), the clients take turns; one that is
    not free sends late, and the time is taken from when the request was due, so nobody waits unseen.
    """

    port: int
    clients: tuple[tuple[bytes, ...], ...]
    """The requests of each; over WebSockets, frames."""
    seconds: float
    """How long is measured."""
    warm_s: float = 0.1
    """How long there is load before. Of an open loop: the times up to here do not count."""
    window: int = 1
    due_s: "array[float]" = field(default_factory=lambda: array("d"))
    speech: Speech = "http"
    paths: tuple[str, ...] = ()
    """Over WebSockets: where each client connects."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured: requests answered in `seconds`, the time of each, and what the generator itself used."""

    answered: int
    seconds: float
    latencies_s: "array[float]"
    """Ascending."""
    own_cpu_s: float

    @property
    def rate(self) -> float:
        """Return answers a second."""
        return self.answered / self.seconds

    def percentile_s(self, percent: float) -> float:
        """Return the seconds within which so many percent were answered."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percent / 100))]


class _Client:
    """One connection, and the times of what is under way on it."""

    __slots__ = ("answers", "begun", "next", "requests", "sock")

    def __init__(
        self, sock: socket.socket, requests: tuple[bytes, ...], answers: http.Answers | websocket.Answers
    ) -> None:
        self.sock = sock
        self.requests = requests
        self.answers = answers
        self.begun: deque[float] = deque()
        self.next = 0

    def send(self, began_s: float) -> None:
        """Send the next request, whose time began at `began_s`."""
        self.begun.append(began_s)
        data = self.requests[self.next]
        self.next = (self.next + 1) % len(self.requests)
        sent = self.sock.send(data)
        if sent < len(data):
            self.sock.setblocking(True)
            self.sock.sendall(data[sent:])
            self.sock.setblocking(False)

    def receive(self) -> int:
        """Return how many answers have come now."""
        data = self.sock.recv(262_144)
        if not data:
            raise ConnectionError("the contestant closed the connection")
        return self.answers.feed(data)


def run(job: Job) -> Found:
    """Do a job."""
    clients = [_connect(job, index) for index in range(len(job.clients))]
    try:
        return _open_loop(job, clients) if job.due_s else _closed_loop(job, clients)
    finally:
        for client in clients:
            client.sock.close()


def _connect(job: Job, index: int) -> _Client:
    sock = socket.create_connection(("127.0.0.1", job.port), CONNECT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answers: http.Answers | websocket.Answers = http.Answers()
    if job.speech == "websocket":
        answers = websocket.connect(sock, job.paths[index])
    sock.setblocking(False)
    return _Client(sock, job.clients[index], answers)


def _closed_loop(job: Job, clients: list[_Client]) -> Found:
    by_fd = {client.sock.fileno(): client for client in clients}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    clock, latencies = time.perf_counter, array("d")
    begin_s = clock()
    for client in clients:
        for _ in range(job.window):
            client.send(clock())
    counted_s, end_s = begin_s + job.warm_s, begin_s + job.warm_s + job.seconds
    warm, spent_s = True, 0.0
    now_s = begin_s
    while now_s < end_s:
        for fd, _ in poll.poll(CONNECT_S):
            client = by_fd[fd]
            complete = client.receive()
            now_s = clock()
            for _ in range(complete):
                latencies.append(now_s - client.begun.popleft())
                client.send(now_s)
        if warm and now_s >= counted_s:
            warm, counted_s, spent_s = False, now_s, time.process_time()
            latencies = array("d")
    return _found(latencies, now_s - counted_s, time.process_time() - spent_s)


def _open_loop(job: Job, clients: list[_Client]) -> Found:
    by_fd = {client.sock.fileno(): client for client in clients}
    poll = select.epoll()
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    clock, latencies, due, ready = time.perf_counter, array("d"), job.due_s, [poll.fileno()]
    queues: dict[int, deque[float]] = {fd: deque() for fd in by_fd}
    turns = list(by_fd)
    begin_s, spent_s, at, under_way = clock(), time.process_time(), 0, 0
    while at < len(due) or under_way:
        wait_s = max(0.0, begin_s + due[at] - clock()) if at < len(due) else CONNECT_S
        if select.select(ready, [], [], wait_s)[0]:  # epoll's own patience has the grain of a millisecond
            for fd, _ in poll.poll(0):
                client = by_fd[fd]
                for _ in range(client.receive()):
                    under_way -= 1
                    began_s = client.begun.popleft()
                    if began_s - begin_s >= job.warm_s:
                        latencies.append(clock() - began_s)
                    if queues[fd]:
                        client.send(queues[fd].popleft())
        now_s = clock()
        while at < len(due) and begin_s + due[at] <= now_s:
            fd = turns[at % len(turns)]
            under_way += 1
            if by_fd[fd].begun:
                queues[fd].append(begin_s + due[at])
            else:
                by_fd[fd].send(begin_s + due[at])
            at += 1
    return _found(latencies, due[-1] - job.warm_s, time.process_time() - spent_s)


def _found(latencies: "array[float]", seconds: float, own_cpu_s: float) -> Found:
    return Found(len(latencies), seconds, array("d", sorted(latencies)), own_cpu_s)


def main(fd: int) -> None:
    """Do the jobs that come over an inherited socket, and send back what was found, or the exception."""
    _SLACK.write_text("1")  # due times are kept to the microsecond; by default the system rounds them up by fifty
    with Connection(fd) as parent:
        while True:
            try:
                job = parent.recv()
            except EOFError:
                return
            try:
                parent.send(run(job))
            except Exception as error:
                parent.send(error)


if __name__ == "__main__":
    from benchmarks.serving import load  # by its own name, so that both ends know the same classes

    load.main(int(sys.argv[1]))
