"""The load generator: a process of its own that does what its parent sends it, one job after the other.

It is lean, so that it is not what is measured: sockets and epoll, requests built beforehand, answers only counted.
"""

import random
import select
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from benchmarks.serving import http, resp, websocket

Speech = Literal["http", "echo", "stream", "frames", "redis"]
"""Three of them over WebSockets: an echo, and Cellar's streams as JSON and as frames."""

COUNTS = {"echo": websocket.one, "stream": websocket.step_text, "frames": websocket.step_frame}

Answers = http.Answers | websocket.Answers | resp.Answers

CONNECT_S = 30.0

_SLACK = Path("/proc/self/timerslack_ns")


@dataclass(frozen=True, slots=True)
class Job:
    """Load on one address: each client sends its requests over one connection, over and over.

    Closed loop: a client has `window` requests under way, and sends the next when an answer has come.
    Open loop: requests are due at the times `due_s` (ascending, from the start), the clients take turns; one that is
    not free sends late, and the time is taken from when the request was due, so nobody waits unseen.
    """

    ports: tuple[int | str, ...]
    """Or unix sockets: clients are dealt out to them in turn, and stay where they are unless they `roam`."""
    clients: tuple[tuple[bytes, ...], ...]
    """The requests of each; over WebSockets, messages. Where those are frames, the first has one step, the next two,
    up to the window: as a sensible client does, it sends as many in one message as it has room for."""
    seconds: float
    """How long is measured."""
    warm_s: float = 0.1
    """How long there is load before. Of an open loop: the times up to here do not count."""
    window: int = 1
    due_s: "array[float]" = field(default_factory=lambda: array("d"))
    speech: Speech = "http"
    paths: tuple[str, ...] = ()
    """Over WebSockets: where each client connects."""
    expects: bytes = b""
    """Of a Redis: all replies to a request."""
    roam: bool = False
    """Whether each request goes to one of the ports at random."""


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


class _Line:
    """One connection."""

    __slots__ = ("answers", "client", "sock")

    def __init__(self, client: "_Client", sock: socket.socket, answers: Answers) -> None:
        self.client = client
        self.sock = sock
        self.answers = answers

    def send(self, data: bytes) -> None:
        """Send all of it, which blocks where the system has no more room for it."""
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


class _Client:
    """Sends its requests one after the other, over and over, and knows the times of what is under way."""

    __slots__ = ("begun", "lines", "next", "requests")

    def __init__(self, requests: tuple[bytes, ...]) -> None:
        self.requests = requests
        self.lines: list[_Line] = []
        self.begun: deque[float] = deque()
        self.next = 0

    def send(self, began_s: float) -> None:
        """Send the next request, whose time began at `began_s`."""
        self.begun.append(began_s)
        line = self.lines[0] if len(self.lines) == 1 else random.choice(self.lines)
        line.send(self.requests[self.next])
        self.next = (self.next + 1) % len(self.requests)

    def send_some(self, count: int, began_s: float, *, together: bool) -> None:
        """Send so many steps, one by one or all of them in one message."""
        if not together:
            for _ in range(count):
                self.send(began_s)
        elif count:
            self.begun.extend([began_s] * count)
            self.lines[0].send(self.requests[count - 1])


def run(job: Job) -> Found:
    """Do a job."""
    with ExitStack() as stack:
        clients = [_connect(job, index, stack) for index in range(len(job.clients))]
        lines = {line.sock.fileno(): line for client in clients for line in client.lines}
        poll = stack.enter_context(select.epoll())
        for fd in lines:
            poll.register(fd, select.EPOLLIN)
        return _open_loop(job, clients, lines, poll) if job.due_s else _closed_loop(job, clients, lines, poll)


def _connect(job: Job, index: int, stack: ExitStack) -> _Client:
    client = _Client(job.clients[index])
    for port in job.ports if job.roam else [job.ports[index % len(job.ports)]]:
        sock = stack.enter_context(_open(port))
        client.lines.append(_Line(client, sock, _answers(job, index, sock)))
        sock.setblocking(False)
    return client


def _open(port: int | str) -> socket.socket:
    """Return a connection to a port of this machine, or to a unix socket."""
    if isinstance(port, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(port)
    else:
        sock = socket.create_connection(("127.0.0.1", port), CONNECT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _answers(job: Job, index: int, sock: socket.socket) -> Answers:
    """Begin to speak on a new connection, and return what reads its answers."""
    if job.speech in COUNTS:
        return websocket.connect(sock, job.paths[index], COUNTS[job.speech], greeted=job.speech != "echo")
    return resp.Answers(job.expects) if job.speech == "redis" else http.Answers()


def _closed_loop(job: Job, clients: list[_Client], lines: dict[int, _Line], poll: select.epoll) -> Found:
    clock, latencies = time.perf_counter, array("d")
    together, begin_s = job.speech == "frames", clock()
    for client in clients:
        client.send_some(job.window, clock(), together=together)
    counted_s, end_s = begin_s + job.warm_s, begin_s + job.warm_s + job.seconds
    warm, spent_s = True, 0.0
    now_s = begin_s
    while now_s < end_s:
        for fd, _ in _ready(poll):
            line = lines[fd]
            complete = line.receive()
            now_s = clock()
            for _ in range(complete):
                latencies.append(now_s - line.client.begun.popleft())
            line.client.send_some(complete, now_s, together=together)
        if warm and now_s >= counted_s:
            warm, counted_s, spent_s = False, now_s, time.process_time()
            latencies, end_s = array("d"), now_s + job.seconds
    return _found(latencies, now_s - counted_s, time.process_time() - spent_s)


def _ready(poll: select.epoll) -> list[tuple[int, int]]:
    """Return what can be read. Raise TimeoutError if nothing comes for very long."""
    ready = poll.poll(CONNECT_S)
    if not ready:
        raise TimeoutError("the contestant does not answer any more")
    return ready


def _open_loop(job: Job, clients: list[_Client], lines: dict[int, _Line], poll: select.epoll) -> Found:
    clock, latencies, due, fds = time.perf_counter, array("d"), job.due_s, [poll.fileno()]
    queues: dict[_Client, deque[float]] = {client: deque() for client in clients}
    begin_s, spent_s, at, under_way = clock(), time.process_time(), 0, 0
    while at < len(due) or under_way:
        wait_s = max(0.0, begin_s + due[at] - clock()) if at < len(due) else CONNECT_S
        if select.select(fds, [], [], wait_s)[0]:  # epoll's own patience has the grain of a millisecond
            for fd, _ in _ready(poll):
                client = lines[fd].client
                for _ in range(lines[fd].receive()):
                    under_way -= 1
                    began_s = client.begun.popleft()
                    if began_s - begin_s >= job.warm_s:
                        latencies.append(clock() - began_s)
                    if queues[client]:
                        client.send(queues[client].popleft())
        elif at == len(due):
            raise TimeoutError("the contestant does not answer any more")
        now_s = clock()
        while at < len(due) and begin_s + due[at] <= now_s:
            client = clients[at % len(clients)]
            under_way += 1
            if client.begun:
                queues[client].append(begin_s + due[at])
            else:
                client.send(begin_s + due[at])
            at += 1
    return _found(latencies, clock() - begin_s - job.warm_s, time.process_time() - spent_s)


def _found(latencies: "array[float]", seconds: float, own_cpu_s: float) -> Found:
    return Found(len(latencies), seconds, array("d", sorted(latencies)), own_cpu_s)


def once(ports: tuple[int | str, ...], requests: Sequence[bytes], clients: int) -> Job:
    """Return the job that sends every request once, by so many clients, as fast as they are answered."""
    dealt = tuple(tuple(requests[index::clients]) for index in range(min(clients, len(requests))))
    return Job(ports, dealt, 0.0, warm_s=0.0, due_s=array("d", bytes(8 * len(requests))))


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
