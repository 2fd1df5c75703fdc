"""Measures the CPU time that remembered heads and one idle timer save: `python -m benchmarks.http_heads`.

Two parts of the HTTP protocol exist only for speed: it compares a head with the previous one instead of parsing it
again, and it has one idle timer for many requests of a connection instead of one for each. The service runs in this
process with a private Redis whose append-only file is synced every second; the protocol talks to a transport without a
socket. It prints the CPU time of this process for a step, and the ratios without each of the two. The variants are
measured in turn, in the reverse order in every other round; a ratio is the median over the rounds, with its interval.
System calls for sockets are not in the figures, so the ratios are somewhat larger than in a deployment.
"""

import argparse
import asyncio
import gc
import os
import time
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

import httpx
import uvicorn
import uvloop
from fastapi import FastAPI
from uvicorn.server import ServerState

from benchmarks.ours import network_spec
from benchmarks.serving.cores import choose
from benchmarks.serving.http import request
from benchmarks.serving.model import CASE, SEED
from benchmarks.serving.redis_server import RedisServer
from benchmarks.timing import paired_ratio
from cellar.api.fast_http.protocol import StepProtocol
from cellar.api.fast_http.request_head import Head
from cellar.api.fast_http.strict import StrictProtocol
from cellar.main import create_app
from cellar.server import GARBAGE, KEEP_ALIVE_S
from cellar.settings import Settings

CLIENTS = (1, 32)
"""The numbers of connections, each of which sends a step as soon as the previous one is answered."""

BODIES = 8
"""Different inputs that each client sends in turn."""

STEPS, ROUNDS = 480, 101
"""Steps of a sample, and samples of each variant: many short ones, because other programs use the machine too."""


class ParsedHeads(StepProtocol):
    """The protocol with a parser that reads each head."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._known = None

    def _remember(self, head: Head, data: bytes) -> None:
        """Forget the head."""


class TimerEachAnswer(StepProtocol):
    """The protocol with uvicorn's idle timer, which is made after each answer and cancelled by the next byte."""

    @property
    def idle_since_s(self) -> float | None:
        """When the connection became idle, which uvicorn does not store."""
        return None

    @idle_since_s.setter
    def idle_since_s(self, since_s: float | None) -> None:
        if since_s is None:
            self._unset_keepalive_if_required()

    def on_response_complete(self) -> None:
        """Start the idle timer."""
        StrictProtocol.on_response_complete(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection."""
        StrictProtocol.timeout_keep_alive_handler(self)

    def _unset_keepalive_if_required(self) -> None:
        StrictProtocol._unset_keepalive_if_required(self)


VARIANTS: dict[str, type[StepProtocol]] = {
    "as it is": StepProtocol,
    "each head parsed": ParsedHeads,
    "a timer for each answer": TimerEachAnswer,
}


class Client(asyncio.Transport):
    """A client without a socket: receives the answers that the protocol writes, and sends the next request."""

    def __init__(self, kind: type[StepProtocol], config: uvicorn.Config, requests: Sequence[bytes]) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._turn = self._left = 0
        self._answered = asyncio.Event()
        self.protocol = kind(config, ServerState(), {})
        self.protocol.connection_made(self)

    async def run(self, steps: int) -> None:
        """Send `count` steps, one after the other."""
        self._left = steps
        self._answered.clear()
        self._send()
        await self._answered.wait()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Receive an answer, and send the next request."""
        if not data.startswith(b"HTTP/1.1 200 "):  # type: ignore[union-attr]  # the protocol writes bytes
            raise RuntimeError(f"a step failed: {bytes(data)!r}")
        self._left -= 1
        if self._left:
            self._loop.call_soon(self._send)
        else:
            self._answered.set()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Receive an answer in parts."""
        self.write(b"".join(list_of_data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002  # asyncio names it
        """Return the default: the transport has no information about the connection."""
        return default

    def is_closing(self) -> bool:
        """Return False: the connection is open."""
        return False

    def pause_reading(self) -> None:
        """Do nothing: the client sends no request while it waits for an answer."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Close the connection, so that its timers end."""
        self.protocol.connection_lost(None)

    def _send(self) -> None:
        self._turn += 1
        self.protocol.data_received(self._requests[self._turn % len(self._requests)])


async def prepare(app: FastAPI, sessions: Iterable[str]) -> None:
    """Create a model and sessions of it."""
    spec = network_spec(CASE).model_dump(mode="json")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=120) as http:
        (await http.post("/v1/models", json={"name": "model", "network": spec, "seed": SEED})).raise_for_status()
        for session in sessions:
            answer = await http.post("/v1/sessions", json={"session": session, "model": "model"})
            answer.raise_for_status()


def requests(session: str) -> list[bytes]:
    """Return the requests that a client sends in turn."""
    inputs = ([(number + feature) / 10 for feature in range(CASE.in_size)] for number in range(BODIES))
    return [request(f"/v1/sessions/{session}/step", b'{"input":%s}' % str(row).encode()) for row in inputs]


async def cpu_us(clients: Sequence[Client], steps: int) -> float:
    """Return the CPU time of a step in microseconds."""
    began_s = time.process_time()
    await asyncio.gather(*(client.run(steps // len(clients)) for client in clients))
    return (time.process_time() - began_s) / steps * 1e6


async def measure(app: FastAPI, count: int, rounds: int, steps: int) -> dict[str, list[float]]:
    """Return the CPU times of a step of each variant with `clients` clients, one for each round."""
    config = uvicorn.Config(app, timeout_keep_alive=KEEP_ALIVE_S, log_config=None, access_log=False)
    names = [f"{count}-{number}" for number in range(count)]
    await prepare(app, names)
    clients = {variant: [Client(kind, config, requests(name)) for name in names] for variant, kind in VARIANTS.items()}
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for each in clients.values():
        await cpu_us(each, steps)
    for number in range(rounds):
        for variant in clients if number % 2 == 0 else reversed(clients):
            gc.collect()
            found[variant].append(await cpu_us(clients[variant], steps))
    for each in clients.values():
        for client in each:
            client.end()
    return found


async def run(redis: RedisServer, rounds: int, steps: int) -> None:
    """Print the figures."""
    app = create_app(Settings(redis_url=redis.url))
    async with app.router.lifespan_context(app):
        for count in CLIENTS:
            found = await measure(app, count, rounds, steps)
            whole = next(iter(found.values()))
            print(f"{count} {'client' if count == 1 else 'clients'}, {rounds} rounds of {steps} steps")
            for variant, times in found.items():
                ratio = paired_ratio(times, whole)
                share = f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})" if times is not whole else ""
                print(f"  {variant:25}{median(times):7.1f} us  {share}".rstrip(), flush=True)


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--steps", type=int, default=STEPS, help="in a sample")
    asked = options.parse_args()
    cores = choose()
    os.sched_setaffinity(0, {cores.service})
    with RedisServer(cores.outside, None) as redis:
        redis.set_fsync("everysec")
        gc.set_threshold(GARBAGE)
        uvloop.run(run(redis, asked.rounds, asked.steps))


if __name__ == "__main__":
    main()
