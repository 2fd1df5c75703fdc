"""An open-loop load: requests are due at a constant rate, whether or not earlier ones are answered.

Each load runs in its own process. A request that is due is sent on a connection without a request in flight. If there
is no such connection, it is not sent and counts as not answered. Times are measured from when a request was due.
"""

import multiprocessing
import os
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle

from benchmarks.serving.processes import cpu_s_of

LEAST_WAIT_S = 0.0005

MOST_DELAY_S = 0.05
"""A request that was due this long ago is not sent, because the core of the load was busy."""


@dataclass(frozen=True, slots=True)
class Surge:
    """A load: each client has a connection and sends its requests in turn, repeatedly."""

    port: int
    requests: tuple[bytes, ...]
    """The requests, divided among the clients."""
    clients: int
    seconds: float
    warm_s: float
    """Seconds before the measurement, which are not counted."""
    rate: float = 0.0
    """Requests a second; 0 for a closed loop, where each client sends the next one when it is answered."""
    deadline_s: float = 1.0
    """Answers that take longer do not count as good, seconds."""
    service: tuple[int, ...] = ()
    """The processes of the service."""


@dataclass(slots=True)
class Outcome:
    """The results of the requests that were due during the measurement."""

    seconds: float
    due: int = 0
    good: int = 0
    """Answered with 200 in time."""
    answers: Counter[str] = field(default_factory=Counter)
    """The number of answers by status; `late` for 200 after the deadline, `unsent` if no connection was free,
    `delayed` if the load itself was late."""
    service_s: float = 0.0
    """Share of a core that the service used."""

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    @property
    def of_a_core(self) -> float:
        """Good answers for each second of CPU time of the service."""
        return self.good / max(1e-9, self.service_s)


class _Client:
    __slots__ = ("buffer", "due_s", "requests", "sock")

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), 30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests = cycle(requests)
        self.buffer = b""
        self.due_s = 0.0

    def send(self, due_s: float) -> None:
        """Send the request, which is short enough for one write."""
        self.due_s = due_s
        self.sock.send(next(self.requests))

    def receive(self) -> bytes | None:
        """Return the status when an answer is complete (its body is one line of JSON), otherwise None."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("the service closed the connection")
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0 or len(self.buffer) == end + 4 or not self.buffer.endswith(b"\n"):
            return None
        status, self.buffer = self.buffer[9:12], b""
        return status


def run(surge: Surge) -> Outcome:
    """Run the load and return its results."""
    with ExitStack() as stack:
        clients = [_Client(surge.port, surge.requests[index :: surge.clients]) for index in range(surge.clients)]
        poll = stack.enter_context(select.epoll())
        for client in clients:
            stack.enter_context(client.sock)
            poll.register(client.sock, select.EPOLLIN)
        return _drive(surge, clients, {client.sock.fileno(): client for client in clients}, poll)


def _drive(surge: Surge, clients: list[_Client], by_fd: dict[int, _Client], poll: select.epoll) -> Outcome:
    found, clock = Outcome(surge.seconds), time.perf_counter
    begin_s = clock()
    counted_s = begin_s + surge.warm_s
    end_s = counted_s + surge.seconds
    load = _OpenLoop(surge.rate, clients, begin_s, counted_s, end_s)
    looks = deque([counted_s, end_s])
    used: list[float] = []
    if not surge.rate:
        for client in clients:
            client.send(begin_s)
    while (now_s := clock()) < end_s + surge.deadline_s:
        if looks and now_s >= looks[0]:
            looks.popleft()
            used.append(sum(cpu_s_of(pid) for pid in surge.service))
        load.send_due(now_s, found)
        for fd, _ in poll.poll(max(LEAST_WAIT_S, load.due_s - clock()) if surge.rate else 0.1):
            client = by_fd[fd]
            status = client.receive()
            if status is None:
                continue
            now_s = clock()
            _count(found, surge, status, client.due_s, now_s, counted_s, end_s)
            if surge.rate:
                load.free.append(client)
            elif now_s < end_s:
                client.send(now_s)
    found.service_s = used[-1] - used[0]
    return found


class _OpenLoop:
    """Sends the requests that are due; none if there is no rate."""

    def __init__(self, rate: float, clients: list[_Client], begin_s: float, counted_s: float, end_s: float) -> None:
        self.due_s = begin_s
        self.free = deque(clients)
        self._period_s = 1 / rate if rate else 0.0
        self._counted_s = counted_s
        self._end_s = end_s

    def send_due(self, now_s: float, found: Outcome) -> None:
        """Send the requests that are due now, and count those that cannot be sent."""
        while self._period_s and self.due_s <= min(now_s, self._end_s):
            counts = self.due_s >= self._counted_s
            found.due += counts
            if now_s - self.due_s > MOST_DELAY_S:
                found.answers["delayed"] += counts
            elif self.free:
                self.free.popleft().send(self.due_s)
            else:
                found.answers["unsent"] += counts
            self.due_s += self._period_s


def _count(
    found: Outcome, surge: Surge, status: bytes, due_s: float, now_s: float, counted_s: float, end_s: float
) -> None:
    """Count an answer if its request was due (open loop), or it arrived (closed loop), during the measurement."""
    when_s = due_s if surge.rate else now_s
    if not counted_s <= when_s <= end_s:
        return
    in_time = now_s - due_s <= surge.deadline_s or not surge.rate
    found.good += status == b"200" and in_time
    found.answers["late" if status == b"200" and not in_time else status.decode()] += 1


def run_all(surges: Sequence[Surge], core: int) -> list[Outcome]:
    """Run several loads at once, each in its own process, all on one core."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(len(surges), os.sched_setaffinity, (0, {core})) as pool:
        return pool.map(run, surges, chunksize=1)
