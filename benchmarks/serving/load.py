"""The load generator: a process that runs the loads that its parent sends, one after the other.

It does little work, so that it is not the bottleneck: sockets and epoll, requests built beforehand, answers counted.
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
"""The protocols; three are WebSockets: an echo, and Cellar's streams as JSON and as frames."""

COUNTS = {"echo": websocket.one, "stream": websocket.step_text, "frames": websocket.step_frame}

Answers = http.Answers | websocket.Answers | resp.Answers

CONNECT_S = 30.0

READ_BYTES = 65_536
"""Most bytes of a read. From 128 KiB on glibc maps memory for each read, which took half of the generator's time."""

_SLACK = Path("/proc/self/timerslack_ns")


@dataclass(frozen=True, slots=True)
class Job:
    """A load on one address: each client sends its requests repeatedly over one connection.

    Closed loop: a client has `window` requests in flight, and sends the next when an answer has arrived.
    Open loop: requests are due at the times `due_s` (ascending, from the start), and clients take turns. A client that
    is not free sends late; the time counts from when the request was due, so that this wait is measured too.
    """

    ports: tuple[int | str, ...]
    """Ports or unix sockets. Clients are assigned to them in turn, and keep theirs unless they `roam`."""
    clients: tuple[tuple[bytes, ...], ...]
    """The requests of each client; over WebSockets, messages. Frames have one step, two steps, and so on
    up to the window: the client sends as many steps in one message as may be in flight."""
    seconds: float
    """Seconds that are measured."""
    warm_s: float = 0.1
    """Seconds of load before the measurement. In an open loop, requests due before this are not counted."""
    window: int = 1
    due_s: "array[float]" = field(default_factory=lambda: array("d"))
    speech: Speech = "http"
    paths: tuple[str, ...] = ()
    """For WebSockets: the path of each client."""
    expects: bytes = b""
    """For Redis: the bytes of all replies to a request."""
    roam: bool = False
    """Whether each request goes to one of the ports at random."""
    connections: int = 1
    """Connections of a client to each of its ports. Each request goes over one at random."""


@dataclass(frozen=True, slots=True)
class Found:
    """A measurement: requests answered in `seconds`, the time of each, and the CPU time of the generator."""

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
        """Return a percentile of the times, in seconds."""
        return self.latencies_s[min(len(self.latencies_s) - 1, int(len(self.latencies_s) * percent / 100))]


class _Line:
    """One connection."""

    __slots__ = ("answers", "client", "sock")

    def __init__(self, client: "_Client", sock: socket.socket, answers: Answers) -> None:
        self.client = client
        self.sock = sock
        self.answers = answers

    def send(self, data: bytes) -> None:
        """Send all bytes; this blocks if the buffers of the system are full."""
        sent = self.sock.send(data)
        if sent < len(data):
            self.sock.setblocking(True)
            self.sock.sendall(data[sent:])
            self.sock.setblocking(False)

    def receive(self) -> int:
        """Read, and return how many answers are complete now."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionError("the contestant closed the connection")
        return self.answers.feed(data)


class _Client:
    """A client that sends its requests repeatedly and stores the start times of those in flight."""

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
        """Send `count` steps, one by one or all in one message."""
        if not together:
            for _ in range(count):
                self.send(began_s)
        elif count:
            self.begun.extend([began_s] * count)
            self.lines[0].send(self.requests[count - 1])


def run(job: Job) -> Found:
    """Run a load."""
    with ExitStack() as stack:
        clients = [_connect(job, index, stack) for index in range(len(job.clients))]
        lines = {line.sock.fileno(): line for client in clients for line in client.lines}
        poll = stack.enter_context(select.epoll())
        for fd in lines:
            poll.register(fd, select.EPOLLIN)
        return _open_loop(job, clients, lines, poll) if job.due_s else _closed_loop(job, clients, lines, poll)


def _connect(job: Job, index: int, stack: ExitStack) -> _Client:
    client = _Client(job.clients[index])
    ports = job.ports if job.roam else (job.ports[index % len(job.ports)],)
    for port in ports * job.connections:
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
    """Do the handshake of a new connection, and return the counter of its answers."""
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
    """Return the connections that can be read. Raise TimeoutError if there is none for very long."""
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
        if select.select(fds, [], [], wait_s)[0]:  # the timeout of epoll has a resolution of a millisecond
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
    """Return the load that sends each request once, by `clients` clients in a closed loop."""
    dealt = tuple(tuple(requests[index::clients]) for index in range(min(clients, len(requests))))
    return Job(ports, dealt, 0.0, warm_s=0.0, due_s=array("d", bytes(8 * len(requests))))


def main(fd: int) -> None:
    """Run the loads that are received on an inherited socket, and send back the measurement or the exception."""
    _SLACK.write_text("1")  # the kernel rounds timeouts up by 50 microseconds by default
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
    from benchmarks.serving import load  # imported by its module name, so that both ends use the same classes

    load.main(int(sys.argv[1]))
