"""Measures how floods of each kind delay other clients: `python -m benchmarks.floods`.

A service is started with a private Redis. A well-behaved client sends steps one by one while another process floods
the service. It prints the 99th percentile of the time of a step without and with each flood, their ratio, the number
of steps, and the memory of the service.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from benchmarks.serving.cores import choose

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
MASK = bytes(4)
PING, EMPTY, BEGUN, GOES_ON = (
    b"\x89\x80" + MASK,
    b"\x81\x82" + MASK + b"{}",
    b"\x01\x81" + MASK + b"{",
    b"\x00\x80" + MASK,
)
POST = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
LINES = POST % (b"/v1/steps", b"application/x-ndjson", 10**9)
BODY = POST % (b"/v1/models", b"application/json", 10**6)

REST_S = 0.001
ROUNDS = 3

Flood = Callable[[int], None]


def _pour(port: int, begin: bytes, more: bytes, *, reads: bool = True) -> None:
    """Send without end, and read the answers if `reads`. Connect again if the connection is closed.

    The calls block, in one thread each, with pauses in between. The socket is always full nevertheless. A flooder that
    took much of its core would delay Redis and the other client until the next tick of the system clock, 4 ms, which
    a flood from another machine does not.
    """
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(begin)
            if begin.startswith(HANDSHAKE):
                connection.recv(1 << 16)  # nothing may follow a handshake before it is answered
            if reads:
                threading.Thread(target=_read, args=[connection], daemon=True).start()
            while True:
                connection.sendall(more)
                time.sleep(REST_S)


def _read(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(1 << 20):
            time.sleep(REST_S)
        connection.shutdown(socket.SHUT_RDWR)


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass


async def _hold(port: int, count: int, begin: bytes, drip: bytes) -> None:
    """Open `count` connections and send a few bytes on each from time to time. Print a line when all are open."""
    opened: set[int] = set()

    async def one(number: int) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(begin)
                if begin.startswith(b"GET"):
                    await reader.readuntil(b"\r\n\r\n")
                reading = asyncio.create_task(_drain(reader))
                opened.add(number)
                if len(opened) == count:
                    print("open", flush=True)
                while drip and not reading.done():
                    await asyncio.sleep(1)
                    writer.write(drip)
                await reading
                writer.close()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
            await asyncio.sleep(0.002)  # each client has a clock of its own


FLOODS: dict[str, Flood] = {
    "pipelined requests": lambda port: _pour(port, b"", HEALTH * 1000),
    "pipelined, nothing read": lambda port: _pour(port, b"", HEALTH * 1000, reads=False),
    "empty messages": lambda port: _pour(port, HANDSHAKE, EMPTY * 5000),
    "pings": lambda port: _pour(port, HANDSHAKE, PING * 5000),
    "empty fragments": lambda port: _pour(port, HANDSHAKE, BEGUN + GOES_ON * 5000),
    "after a refusal": lambda port: _pour(port, HANDSHAKE[:-2] + b"A: b\r\n\r\n" + BEGUN, GOES_ON * 5000),
    "blank lines": lambda port: _pour(port, LINES, b"\n" * 100_000),
    "faulty lines": lambda port: _pour(port, LINES, b"{}\n" * 30_000),
    "endless head": lambda port: _pour(port, HEALTH[:-2], b"A: b\r\n" * 1000),
    "idle sockets": lambda port: asyncio.run(_hold(port, 5000, HANDSHAKE, b"")),
    "slow bodies": lambda port: asyncio.run(_hold(port, 1000, BODY, b" ")),
}


async def _steps(port: int, session: str, seconds: float) -> list[float]:
    """Return the times of steps that are sent one by one, in seconds."""
    body = json.dumps({"input": [0.5, 0.25]}).encode()
    data = POST % (b"/v1/sessions/%s/step" % session.encode(), b"application/json", len(body)) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found, end_s = [], time.monotonic() + seconds
    while time.monotonic() < end_s:
        began_s = time.perf_counter()
        writer.write(data)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert head.startswith(b"HTTP/1.1 200"), head
        assert length is not None
        await reader.readexactly(int(length[1]))
        found.append(time.perf_counter() - began_s)
    writer.close()
    return found


def p99_ms(times_s: list[float]) -> float:
    """Return the 99th percentile of the times, in milliseconds."""
    return sorted(times_s)[int(len(times_s) * 0.99)] * 1000


def rss_mib(process: int) -> int:
    """Return the memory of the largest descendant of a process, in MiB."""
    children = [
        int(child) for task in Path(f"/proc/{process}/task").glob("*/children") for child in task.read_text().split()
    ]
    sizes = [int(Path(f"/proc/{child}/statm").read_text().split()[1]) for child in children]
    return max(sizes, default=0) * os.sysconf("SC_PAGE_SIZE") >> 20


def measure(port: int, service: int, session: str, names: list[str], seconds: float) -> None:
    """Print a line for each flood: the medians of ROUNDS rounds."""
    print(f"{'flood':26} {'p99 before':>11} {'p99 during':>11} {'ratio':>6} {'range':>11} {'steps':>6} {'RSS MiB':>8}")
    for name in names:
        rounds = [_round(port, session, name, seconds) for _ in range(ROUNDS)]
        ratios = sorted(during / before for before, during, _ in rounds)
        before, during, steps = (statistics.median(column) for column in zip(*rounds, strict=True))
        spread = f"{ratios[0]:.2f}..{ratios[-1]:.2f}"
        print(
            f"{name:26} {before:8.2f} ms {during:8.2f} ms {statistics.median(ratios):6.2f} {spread:>11} {steps:6.0f}"
            f" {rss_mib(service):8}",
            flush=True,
        )


def _round(port: int, session: str, name: str, seconds: float) -> tuple[float, float, int]:
    """Return the 99th percentiles without and with the flood, in milliseconds, and the number of steps during it."""
    before = asyncio.run(_steps(port, session, seconds))
    command = [sys.executable, "-m", "benchmarks.floods", "--flood", name, "--port", str(port)]
    # The flood would come from another machine: here it runs at the lowest priority.
    flooder = subprocess.Popen(["nice", "-n", "19", *command], stdout=subprocess.PIPE, text=True)
    try:
        assert flooder.stdout is not None
        flooder.stdout.readline()  # the flood has started
        time.sleep(1)
        during = asyncio.run(_steps(port, session, seconds))
    finally:
        flooder.kill()
        flooder.communicate()
    time.sleep(1)  # the data in the sockets were read
    return p99_ms(before), p99_ms(during), len(during)


def _flood(name: str, port: int) -> None:
    if "sockets" not in name and "bodies" not in name:
        print("begun", flush=True)
    FLOODS[name](port)


def _part(service: int) -> None:
    """Give the api process a core of its own, and another one to Redis and the clients, as if on other machines.

    On shared cores a busy api process and Redis wait for each other's time slices, several milliseconds each.
    """
    cores = choose()
    os.sched_setaffinity(0, {cores.outside})
    for child in Path(f"/proc/{service}/task/{service}/children").read_text().split():
        is_api = b"api" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        for task in Path(f"/proc/{child}/task").iterdir():
            os.sched_setaffinity(int(task.name), {cores.service if is_api else cores.outside})


def main() -> None:
    """Start a service and measure each flood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="how long steps are measured")
    parser.add_argument("--only", choices=FLOODS, action="append", help="these floods alone")
    parser.add_argument("--flood", choices=FLOODS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        _flood(options.flood, options.port)
        return
    with tempfile.TemporaryDirectory(prefix="cellar-floods-") as data:
        environment = {**os.environ, "CELLAR_DATA_DIR": data, "CELLAR_PORT": "0", "CELLAR_WORKER": "false"}
        environment |= {"CELLAR_LOG_LEVEL": "error", "CELLAR_PROCESSES": "1"}
        command = [sys.executable, "-P", "-m", "cellar.cli", "serve"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as service:
            try:
                assert service.stdout is not None
                ready = next(line for line in service.stdout if "ready at" in line)
                found = re.search(r"ready at http://[^:]*:(\d+)", ready)
                assert found is not None
                port = int(found[1])
                with httpx.Client(base_url=f"http://localhost:{port}", timeout=120) as client:
                    layers = [{"type": "recurrent", "cell": "gru", "hidden_size": 16}]
                    made = {"name": "gru", "network": {"in_size": 2, "layers": layers}}
                    client.post("/v1/models", json=made).raise_for_status()
                    session = client.post("/v1/sessions", json={"model": "gru"}).raise_for_status().json()["session"]
                _part(service.pid)
                measure(port, service.pid, session, options.only or [*FLOODS], options.seconds)
            finally:
                service.terminate()


if __name__ == "__main__":
    main()
