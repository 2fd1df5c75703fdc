"""The servers that are measured: how each is started, and how a step is requested from it."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx

from benchmarks.cases import Case
from benchmarks.ours import network_spec
from benchmarks.serving.model import CASE, SEED
from benchmarks.serving.processes import Process
from benchmarks.serving.redis_server import RedisServer

READY_S = 120.0
"""Longest time of a start, which may compile kernels."""

HOST = "127.0.0.1"

MODEL = "lstm"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server, and how to request a step from it."""

    name: str
    process: Process
    port: int
    path: Callable[[str], str]
    """Path of the steps of a session."""
    body: Callable[[str, Sequence[float]], bytes]

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://{HOST}:{self.port}"


def _step_path(session: str) -> str:
    return f"/v1/sessions/{session}/step"


def _step_body(_session: str, features: Sequence[float]) -> bytes:
    return json.dumps({"input": list(features)}).encode()


def start_listening(
    stack: ExitStack, name: str, module: Sequence[str], cores: Collection[int], environment: Mapping[str, str]
) -> Contestant:
    """Start a module that serves an inherited socket, whose number is its last argument."""
    with socket.create_server((HOST, 0), backlog=2048) as listener:
        command = [sys.executable, "-m", *module, str(listener.fileno())]
        process = Process(command, cores, environment=environment, inherit=[listener.fileno()])
        port: int = listener.getsockname()[1]
    return Contestant(name, stack.enter_context(process), port, _step_path, _step_body)


def start_baseline(stack: ExitStack, name: str, cores: Collection[int]) -> Contestant:
    """Start one of `benchmarks.serving.baselines`."""
    return start_listening(stack, name, ["benchmarks.serving.baselines", name], cores, {})


def start_torch(stack: ExitStack, cores: Collection[int], redis: RedisServer, weights: Path) -> Contestant:
    """Start FastAPI with PyTorch and Redis."""
    environment = {"BENCHMARK_REDIS": str(redis.socket)} | _one_thread(weights)
    return start_listening(stack, "torch-redis", ["benchmarks.peers.torch_redis"], cores, environment)


def start_on_port(
    stack: ExitStack, name: str, module: str, cores: Collection[int], environment: Mapping[str, str], path: str
) -> Contestant:
    """Start a module whose argument is a port and which reads the session from the body."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
    process = Process([sys.executable, "-m", module, str(port)], cores, environment=environment, output=subprocess.PIPE)

    def body(session: str, features: Sequence[float]) -> bytes:
        return json.dumps({"session": session, "input": list(features)}).encode()

    return Contestant(name, stack.enter_context(process), port, lambda _: path, body)


def start_litserve(stack: ExitStack, cores: Collection[int], weights: Path, batch: int) -> Contestant:
    """Start LitServe, with batches of at most `batch` requests."""
    environment = {"BENCHMARK_BATCH": str(batch)} | _one_thread(weights)
    return start_on_port(stack, f"litserve-{batch}", "benchmarks.peers.litserve_app", cores, environment, "/predict")


def start_ray(stack: ExitStack, cores: Collection[int], weights: Path) -> Contestant | None:
    """Start Ray Serve; return None if it is not installed."""
    if find_spec("ray") is None:
        return None
    return start_on_port(stack, "ray-serve", "benchmarks.peers.ray_app", cores, _one_thread(weights), "/step")


def start_cellars(
    stack: ExitStack,
    cores: Collection[int],
    redis: RedisServer,
    count: int,
    checkout: Path | None = None,
    **settings: str,
) -> list[Contestant]:
    """Start `cellar serve`, of another checkout if one is given, on free ports, and wait until they are ready."""
    return start_each(stack, cores, redis, count * [settings], checkout)


def start_each(
    stack: ExitStack,
    cores: Collection[int],
    redis: RedisServer,
    settings: Sequence[Mapping[str, str]],
    checkout: Path | None = None,
) -> list[Contestant]:
    """Start `cellar serve` with each of the settings, all at once, and wait until they are ready."""
    command = [sys.executable, "-P", "-m", "cellar.cli", "serve"]
    found = {"PYTHONPATH": str(checkout / "service")} if checkout else {}
    processes = [
        Process(command, cores, environment=service_environment(redis, **each) | found, output=subprocess.PIPE)
        for each in settings
    ]
    for process in processes:
        stack.enter_context(process)
    return [Contestant("cellar", process, ready_port(process), _step_path, _step_body) for process in processes]


def start_profiled(stack: ExitStack, cores: Collection[int], redis: RedisServer, file: Path) -> Contestant:
    """Start the service under a profiler that writes a file at its end, and wait until it is ready."""
    command = [sys.executable, "-m", "benchmarks.serving.profiled", str(file)]
    process = stack.enter_context(
        Process(command, cores, environment=service_environment(redis), output=subprocess.PIPE)
    )
    return Contestant("cellar", process, ready_port(process), _step_path, _step_body)


def service_environment(redis: RedisServer, **settings: str) -> dict[str, str]:
    """Return the environment variables of a process of the service."""
    own = {"redis_url": redis.url, "host": HOST, "port": "0", "worker": "false", "log_level": "warning"}
    own |= {"processes": "1"} | settings
    return {f"CELLAR_{key.upper()}": value for key, value in own.items()}


def ready_port(process: Process) -> int:
    """Return the port that a Cellar prints when it is ready."""
    assert process.popen.stdout
    for line in process.popen.stdout:
        if found := re.search(r"ready at http\S*:(\d+)", line):
            return int(found[1])
    raise RuntimeError("the service ended before it was ready")


def create_model(
    cellar: Contestant, name: str = MODEL, case: Case = CASE, headers: Mapping[str, str] | None = None
) -> None:
    """Create a model in the service's Redis; the first time compiles it."""
    spec = network_spec(case).model_dump(mode="json")
    body = {"name": name, "network": spec, "seed": SEED}
    answer = httpx.post(f"{cellar.url}/v1/models", json=body, headers=headers, timeout=READY_S)
    answer.raise_for_status()


def create_sessions(cellar: Contestant, names: Sequence[str], model: str = MODEL) -> None:
    """Open sessions of the model."""
    with httpx.Client(base_url=cellar.url, timeout=READY_S) as client:
        for name in names:
            client.post("/v1/sessions", json={"session": name, "model": model}).raise_for_status()


def ask(contestant: Contestant, session: str, features: Sequence[float]) -> list[float]:
    """Return the output of one step; wait for a server that does not listen yet, or has no such path yet."""
    deadline_s = time.monotonic() + READY_S
    while True:
        try:
            answer = httpx.post(
                contestant.url + contestant.path(session),
                content=contestant.body(session, features),
                headers={"Content-Type": "application/json"},
                timeout=READY_S,
            ).raise_for_status()
        except (httpx.TransportError, httpx.HTTPStatusError):
            if time.monotonic() > deadline_s or contestant.process.popen.poll() is not None:
                raise
            time.sleep(0.1)
            continue
        document: dict[str, list[float]] = answer.json()
        return document.get("output") or document["input"]


def _one_thread(weights: Path) -> dict[str, str]:
    """Return the environment of a peer on one core."""
    return {"BENCHMARK_WEIGHTS": str(weights), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
