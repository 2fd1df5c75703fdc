"""Compares the Python client with the libraries below it: `python -m benchmarks.client`.

A service is started with a private Redis. Rounds of the client and of plain httpx or websockets alternate: the plain
ones send the same steps with positions or numbers in JSON, and repeat nothing. It prints the steps per second of both,
and the median of the ratios. The bar is 0.9.
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

import httpx
import websockets.asyncio.client
import websockets.sync.client

from cellar_client import AsyncClient, Client

BAR = 0.9
NETWORK = {"in_size": 4, "layers": [{"type": "recurrent", "cell": "gru", "hidden_size": 16}]}
READING = [0.5, -1.0, 2.0, 0.25]
ROUNDS = 15

Round = Callable[[str, str, int], float]
"""Takes the address, a session and a number of steps; returns how long the steps took, seconds, when all is open."""


def plain_http(url: str, session: str, count: int) -> float:
    """Send steps with httpx."""
    with httpx.Client(base_url=url) as http:
        position = http.get(f"/v1/sessions/{session}").json()["position"]
        began_s = time.perf_counter()
        for _ in range(count):
            answer = http.post(f"/v1/sessions/{session}/step", json={"input": READING, "position": position}).json()
            position = answer["position"]
        return time.perf_counter() - began_s


def client_http(url: str, session: str, count: int) -> float:
    """Send steps with the client."""
    with Client(url) as client:
        opened = client.session(session)
        began_s = time.perf_counter()
        for _ in range(count):
            opened.step(READING)
        return time.perf_counter() - began_s


def client_http_with_file(url: str, session: str, count: int) -> float:
    """Send steps with the client, which writes a state file before each of them."""
    with tempfile.TemporaryDirectory() as folder, Client(url) as client:
        opened = client.session(session, state=Path(folder) / "state")
        began_s = time.perf_counter()
        for _ in range(count):
            opened.step(READING)
        return time.perf_counter() - began_s


def _message(writer: str, seq: int) -> str:
    return json.dumps({"id": seq, "input": READING, "writer": writer, "seq": seq})


def plain_socket(url: str, session: str, count: int) -> float:
    """Send steps with the blocking WebSockets of websockets, as many in flight as the service allows."""
    writer = f"plain-{time.monotonic_ns()}"
    with websockets.sync.client.connect(_stream(url, session), compression=None) as socket:
        window = json.loads(socket.recv())["window"]
        began_s = time.perf_counter()
        for seq in range(1, count + 1):
            socket.send(_message(writer, seq))
            if seq > window:
                json.loads(socket.recv())
        for _ in range(min(window, count)):
            json.loads(socket.recv())
        return time.perf_counter() - began_s


def client_socket(url: str, session: str, count: int) -> float:
    """Stream steps with the blocking client."""
    with Client(url) as client, client.session(session).stream() as stream:
        stream.step(READING)
        began_s = time.perf_counter()
        deque(stream.run([READING] * count), maxlen=0)
        return time.perf_counter() - began_s


def plain_socket_one_by_one(url: str, session: str, count: int) -> float:
    """Send each step after the answer to the one before it."""
    writer = f"plain-{time.monotonic_ns()}"
    with websockets.sync.client.connect(_stream(url, session), compression=None) as socket:
        socket.recv()
        began_s = time.perf_counter()
        for seq in range(1, count + 1):
            socket.send(_message(writer, seq))
            json.loads(socket.recv())
        return time.perf_counter() - began_s


def client_socket_one_by_one(url: str, session: str, count: int) -> float:
    """Send each step after the answer to the one before it, with the client."""
    with Client(url) as client, client.session(session).stream() as stream:
        stream.step(READING)
        began_s = time.perf_counter()
        for _ in range(count):
            stream.step(READING)
        return time.perf_counter() - began_s


def plain_asyncio(url: str, session: str, count: int) -> float:
    """Send steps with the WebSockets of websockets for asyncio."""

    async def rounds() -> float:
        writer = f"plain-{time.monotonic_ns()}"
        async with websockets.asyncio.client.connect(_stream(url, session), compression=None) as socket:
            window = json.loads(await socket.recv())["window"]
            began_s = time.perf_counter()
            for seq in range(1, count + 1):
                await socket.send(_message(writer, seq))
                if seq > window:
                    json.loads(await socket.recv())
            for _ in range(min(window, count)):
                json.loads(await socket.recv())
            return time.perf_counter() - began_s

    return asyncio.run(rounds())


def client_asyncio(url: str, session: str, count: int) -> float:
    """Stream steps with the client for asyncio."""

    async def rounds() -> float:
        async with AsyncClient(url) as client:
            opened = await client.session(session)
            async with opened.stream() as stream:
                await stream.step(READING)
                began_s = time.perf_counter()
                async for _ in stream.run([READING] * count):
                    pass
                return time.perf_counter() - began_s

    return asyncio.run(rounds())


CASES: dict[str, tuple[Round, Round, int]] = {
    "HTTP steps against httpx": (client_http, plain_http, 100),
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


def _rate(work: Round, url: str, count: int) -> float:
    return count / work(url, "s", count)


def main() -> None:
    """Print a line for each case. The exit code is 1 if one is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with running_service() as url:
        ratios = [_compare(name, url, options.rounds) for name in CASES]
    print(f"{sum(ratio >= BAR for ratio in ratios)} of {len(ratios)} at {BAR} or above")
    sys.exit(min(ratios) < BAR)


def _compare(name: str, url: str, rounds: int) -> float:
    """Print and return the median ratio of a case."""
    ours, plain, count = CASES[name]
    pairs = []
    for number in range(rounds + 1):
        order = (ours, plain) if number % 2 else (plain, ours)
        rates = {work: _rate(work, url, count) for work in order}
        pairs.append((rates[ours], rates[plain]))
    pairs = pairs[1:]  # the first round warms up
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:36} {mine:8.0f} /s  {theirs:8.0f} /s  {ratio:5.2f}", flush=True)
    return ratio


if __name__ == "__main__":
    main()
