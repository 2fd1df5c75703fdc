"""Compares the Python client with the libraries below it: `python -m benchmarks.client`.

A service is started with a private Redis. Rounds of the client and of plain httpx or websockets alternate: the plain
ones send the same steps with positions or numbers in JSON, and repeat nothing. It prints the steps per second of both
and the median of the ratios, whose bar is 0.9. Beside it stands the processor time that a step takes in the process of
the client, which other work on the machine changes less than the rate.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import httpx
import websockets.asyncio.client
import websockets.sync.client

from cellar_client import AsyncClient, Client

BAR = 0.9
NETWORK = {"in_size": 4, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 16}]}
READING = [0.5, -1.0, 2.0, 0.25]
ROUNDS = 15


class Cost(NamedTuple):
    """The time that steps took, and the processor time of this process, seconds."""

    wall_s: float
    cpu_s: float

    @classmethod
    def now(cls) -> Self:
        """Return the present time of both clocks."""
        return cls(time.perf_counter(), time.process_time())

    def since(self) -> "Cost":
        """Return the time since this one."""
        now = Cost.now()
        return Cost(now.wall_s - self.wall_s, now.cpu_s - self.cpu_s)


Round = Callable[[str, str, int], Cost]
"""Takes the address, a session and a number of steps; returns what the steps cost when all is open."""


def plain_http(url: str, session: str, count: int) -> Cost:
    """Send steps with httpx."""
    with httpx.Client(base_url=url) as http:
        position = http.get(f"/v1/sessions/{session}").json()["position"]
        began = Cost.now()
        for _ in range(count):
            answer = http.post(f"/v1/sessions/{session}/step", json={"input": READING, "position": position}).json()
            position = answer["position"]
        return began.since()


def client_http(url: str, session: str, count: int) -> Cost:
    """Send steps with the client."""
    with Client(url) as client:
        opened = client.session(session)
        began = Cost.now()
        for _ in range(count):
            opened.step(READING)
        return began.since()


def plain_http_async(url: str, session: str, count: int) -> Cost:
    """Send steps with httpx for asyncio."""

    async def rounds() -> Cost:
        async with httpx.AsyncClient(base_url=url) as http:
            position = (await http.get(f"/v1/sessions/{session}")).json()["position"]
            began = Cost.now()
            for _ in range(count):
                body = {"input": READING, "position": position}
                position = (await http.post(f"/v1/sessions/{session}/step", json=body)).json()["position"]
            return began.since()

    return asyncio.run(rounds())


def client_http_async(url: str, session: str, count: int) -> Cost:
    """Send steps with the client for asyncio."""

    async def rounds() -> Cost:
        async with AsyncClient(url) as client:
            opened = await client.session(session)
            began = Cost.now()
            for _ in range(count):
                await opened.step(READING)
            return began.since()

    return asyncio.run(rounds())


def client_http_with_file(url: str, session: str, count: int) -> Cost:
    """Send steps with the client, which writes a state file before each of them."""
    with tempfile.TemporaryDirectory() as folder, Client(url) as client:
        opened = client.session(session, state=Path(folder) / "state")
        began = Cost.now()
        for _ in range(count):
            opened.step(READING)
        return began.since()


def _message(writer: str, seq: int) -> str:
    return json.dumps({"id": seq, "input": READING, "writer": writer, "seq": seq})


def plain_socket(url: str, session: str, count: int) -> Cost:
    """Send steps with the blocking WebSockets of websockets, as many in flight as the service allows."""
    writer = f"plain-{time.monotonic_ns()}"
    with websockets.sync.client.connect(_stream(url, session), compression=None) as socket:
        window = json.loads(socket.recv())["window"]
        began = Cost.now()
        for seq in range(1, count + 1):
            socket.send(_message(writer, seq))
            if seq > window:
                json.loads(socket.recv())
        for _ in range(min(window, count)):
            json.loads(socket.recv())
        return began.since()


def client_socket(url: str, session: str, count: int) -> Cost:
    """Stream steps with the blocking client."""
    with Client(url) as client, client.session(session).stream() as stream:
        stream.step(READING)
        began = Cost.now()
        deque(stream.run([READING] * count), maxlen=0)
        return began.since()


def plain_socket_one_by_one(url: str, session: str, count: int) -> Cost:
    """Send each step after the answer to the one before it."""
    writer = f"plain-{time.monotonic_ns()}"
    with websockets.sync.client.connect(_stream(url, session), compression=None) as socket:
        socket.recv()
        began = Cost.now()
        for seq in range(1, count + 1):
            socket.send(_message(writer, seq))
            json.loads(socket.recv())
        return began.since()


def client_socket_one_by_one(url: str, session: str, count: int) -> Cost:
    """Send each step after the answer to the one before it, with the client."""
    with Client(url) as client, client.session(session).stream() as stream:
        stream.step(READING)
        began = Cost.now()
        for _ in range(count):
            stream.step(READING)
        return began.since()


def plain_asyncio(url: str, session: str, count: int) -> Cost:
    """Send steps with the WebSockets of websockets for asyncio."""

    async def rounds() -> Cost:
        writer = f"plain-{time.monotonic_ns()}"
        async with websockets.asyncio.client.connect(_stream(url, session), compression=None) as socket:
            window = json.loads(await socket.recv())["window"]
            began = Cost.now()
            for seq in range(1, count + 1):
                await socket.send(_message(writer, seq))
                if seq > window:
                    json.loads(await socket.recv())
            for _ in range(min(window, count)):
                json.loads(await socket.recv())
            return began.since()

    return asyncio.run(rounds())


def client_asyncio(url: str, session: str, count: int) -> Cost:
    """Stream steps with the client for asyncio."""

    async def rounds() -> Cost:
        async with AsyncClient(url) as client:
            opened = await client.session(session)
            async with opened.stream() as stream:
                await stream.step(READING)
                began = Cost.now()
                async for _ in stream.run([READING] * count):
                    pass
                return began.since()

    return asyncio.run(rounds())


CASES: dict[str, tuple[Round, Round, int]] = {
    "HTTP steps against httpx": (client_http, plain_http, 100),
    "asyncio HTTP steps against httpx": (client_http_async, plain_http_async, 100),
    "HTTP steps with a state file": (client_http_with_file, plain_http, 100),
    "stream against websockets": (client_socket, plain_socket, 1000),
    "stream, one step at a time": (client_socket_one_by_one, plain_socket_one_by_one, 100),
    "asyncio stream against websockets": (client_asyncio, plain_asyncio, 1000),
}
"""The client, the libraries alone, and the steps of a round."""


def _stream(url: str, session: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/v1/sessions/{session}/stream"


@contextmanager
def running_service() -> Iterator[str]:
    """Yield the address of a service with a private Redis and one session called `s`."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CELLAR_PORT": "0", "CELLAR_WORKER": "false", "CELLAR_DATA_DIR": folder}
        environment["CELLAR_PROCESSES"] = "1"
        command = [sys.executable, "-m", "cellar.cli", "serve"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout
            found = (re.search(r"(?:ready|listens) at (\S+)", line) for line in process.stdout)
            url = next(match[1] for match in found if match)
            try:
                with Client(url) as client:
                    client.models.create("bench", NETWORK)
                    client.session("s", model="bench")
                yield url
            finally:
                process.terminate()


def main() -> None:
    """Print a line for each case. The exit code is 1 if one is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="*", choices=CASES)
    options = parser.parse_args()
    with running_service() as url:
        print(f"{'':36}{'client':>11} {'alone':>11} {'ratio':>6} {'client':>10} {'alone':>10} {'ratio':>6}")
        ratios = [_compare(name, url, options.rounds) for name in options.only or CASES]
    print(f"{sum(ratio >= BAR for ratio in ratios)} of {len(ratios)} at {BAR} or above")
    sys.exit(min(ratios) < BAR)


def _compare(name: str, url: str, rounds: int) -> float:
    """Print the median ratios of a case, of the rates and of the processor time, and return that of the rates."""
    ours, plain, count = CASES[name]
    pairs = []
    for number in range(rounds + 1):
        order = (ours, plain) if number % 2 else (plain, ours)
        costs = {work: work(url, "s", count) for work in order}
        pairs.append((costs[ours], costs[plain]))
    pairs = pairs[1:]  # the first round warms up
    ratios = [statistics.median(theirs[clock] / mine[clock] for mine, theirs in pairs) for clock in (0, 1)]
    mine, theirs = (
        Cost(*(statistics.median(each) / count for each in zip(*column, strict=True)))
        for column in zip(*pairs, strict=True)
    )
    rates = f"{1 / mine.wall_s:8.0f} /s {1 / theirs.wall_s:8.0f} /s {ratios[0]:6.2f}"
    times = f"{mine.cpu_s * 1e6:7.0f} us {theirs.cpu_s * 1e6:7.0f} us {ratios[1]:6.2f}"
    print(f"{name:36}{rates} {times}", flush=True)
    return ratios[0]


if __name__ == "__main__":
    main()
