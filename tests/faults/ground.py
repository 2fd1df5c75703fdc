"""What a run stands on: a Redis of its own, two services, and a hop on either side of each."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.replica import SERVE, Replica, environment, serving
from tests.faults.back import Back
from tests.faults.cell import NETWORK, State
from tests.faults.checker import Logged, read_log
from tests.faults.fate import Schedule
from tests.faults.front import Front, address_of
from tests.redis_process import RedisProcess
from tests.waiting import wait_until

SERVICES = 2
COMPILED_S = 100
"""A machine with nothing in its cache has kernels to compile first, and other work beside."""

PREFIX = "faults"
WINDOW = 256
"""Of replay: as many requests as all clients have under way. A commit that was doubled before Redis is recognised while
its entry is there; with 32, the default of the service, a crowd of others might come in between."""

LOG = 1_000_000
"""More changes than any run makes: its log leaves nothing out."""


@dataclass
class Ground:
    """A running system."""

    redis: RedisProcess
    replicas: Sequence[Replica]
    backs: Sequence[Back]
    fronts: Sequence[Front]

    @property
    def schedules(self) -> list[Schedule]:
        """The schedules of all hops, those before the services first."""
        return [hop.schedule for hop in (*self.fronts, *self.backs)]

    def set_calm(self, calm: bool) -> None:
        """Let nothing happen on any hop, or what the schedules say."""
        for schedule in self.schedules:
            schedule.calm = calm

    def kill_service(self, number: int) -> None:
        """Kill a process that answers requests, the oldest of several; its parent starts another on its socket."""
        os.kill(wait_until(lambda: self.replicas[number].child("api"), 30, "the service has a process"), signal.SIGKILL)

    async def stop_process(self, number: int, time_s: float) -> None:
        """Stop a process of a service, which keeps its connections and sockets, and let it go on after a while."""
        processes = await asyncio.to_thread(
            wait_until, lambda: self.replicas[number].children("api"), 30, "the service has a process"
        )
        os.kill(processes[-1], signal.SIGSTOP)
        try:
            await asyncio.sleep(time_s)
        finally:
            with suppress(ProcessLookupError):
                os.kill(processes[-1], signal.SIGCONT)

    def restart_service(self, number: int) -> None:
        """Have a service replace its processes one after the other."""
        self.replicas[number].process.send_signal(signal.SIGHUP)

    def kill_redis(self) -> None:
        """Kill Redis, and start it again on what it had written."""
        self.redis.kill()
        self.redis.start()

    def read_log(self, session: str) -> list[Logged]:
        """Return the input log of a session."""
        with self.redis.client() as client:
            return read_log(client, f"{PREFIX}:{{default/{session}}}:l")


@asynccontextmanager
async def ground(
    binary: Path,
    kernels: Path,
    seed: str,
    chances: tuple[float, float],
    command: Sequence[str] = SERVE,
    window: int = WINDOW,
    processes: int = 1,
) -> AsyncIterator[Ground]:
    """Run all of it, calm at first. `chances` are those of a fault, for a request before a service and before Redis.

    Each service has this many `processes`.
    """
    before_service, before_redis = chances
    async with AsyncExitStack() as stack:
        redis = RedisProcess(binary)
        stack.callback(redis.close)
        await asyncio.to_thread(redis.start)
        backs = [
            await stack.enter_async_context(Back(str(redis.socket), Schedule(f"{seed} back {number}", before_redis)))
            for number in range(SERVICES)
        ]
        settings = {"key_prefix": PREFIX, "cache_dir": str(kernels), "worker": "false", "log_level": "error"}
        settings |= {"replay_window": str(window), "processes": str(processes)}
        started = [_service(environment(redis_url=back.url, **settings), command) for back in backs]
        replicas = await asyncio.gather(*[stack.enter_async_context(service) for service in started])
        addresses = [address_of(replica.url) for replica in replicas]
        fronts = [
            await stack.enter_async_context(
                Front(addresses[number:] + addresses[:number], Schedule(f"{seed} front {number}", before_service))
            )
            for number in range(SERVICES)
        ]
        there = Ground(redis, replicas, backs, fronts)
        there.set_calm(True)
        yield there


@asynccontextmanager
async def _service(settings: dict[str, str], command: Sequence[str]) -> AsyncIterator[Replica]:
    """Run a service; waiting for it holds up nothing that it waits for itself."""
    service = serving(settings, command)
    replica = await asyncio.to_thread(service.__enter__)
    try:
        yield replica
    finally:
        await asyncio.to_thread(service.__exit__, None, None, None)


async def begin(service: str, rows: int = 1) -> str:
    """Create the model, if it is not there, and a session of it that logs its inputs; return the session's name."""
    async with httpx.AsyncClient(base_url=service, timeout=COMPILED_S) as client:
        (await client.post("/v1/models", json={"name": "exact", "network": NETWORK})).raise_for_status()
        made = await client.post("/v1/sessions", json={"model": "exact", "log": LOG, "batch_size": rows})
        return str(made.raise_for_status().json()["session"])


async def read_state(client: httpx.AsyncClient, service: str, session: str) -> State:
    """Return the state of a session."""
    (layer,) = (await client.get(f"{service}/v1/sessions/{session}/state")).raise_for_status().json()["layers"]
    return State(layer["n"][0][0], layer["a"][0][0])
