"""Starts Redis, the load generator, Cellar, baselines and peers on their cores."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.agreement import TOLERANCE, Disagreement
from benchmarks.serving import contestants, model
from benchmarks.serving.contestants import Contestant, ask
from benchmarks.serving.cores import Cores
from benchmarks.serving.generator import Generator
from benchmarks.serving.http import request
from benchmarks.serving.redis_server import RedisServer
from benchmarks.serving.rounds import Watch

SESSIONS = 128
"""Sessions of the model that are created at the start."""

ORIGINAL = "original-of-copies-00000"
"""A session that is never stepped; its name has 24 characters, like generated names."""

VARIANTS = 8
"""Different inputs that each client sends in turn."""

BASELINES = ("bare", "fastapi-echo", "websocket-echo")

PEERS = ("torch-redis", "litserve-1", "litserve-32", "ray-serve")

BATCHES = (1, 32)
"""Largest batches of LitServe: none, and as many as there are clients."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The running processes and the model that the cases use."""

    cores: Cores
    redis: RedisServer
    generator: Generator
    flooder: Generator
    """A load generator on the core of the service, which sends commits to Redis in its place."""
    watch: Watch
    directory: Path
    """Directory for the files of the run."""
    all: Mapping[str, Contestant]
    replica: Contestant
    """A second Cellar on the same Redis."""

    @property
    def cellar(self) -> Contestant:
        """Return the service."""
        return self.all["cellar"]


def requests(contestant: Contestant, clients: int) -> tuple[tuple[bytes, ...], ...]:
    """Return HTTP requests for single steps: each client has its own session and sends several inputs in turn."""
    flat = session_requests(contestant, [name for name in names(clients) for _ in range(VARIANTS)])
    return tuple(tuple(flat[at : at + VARIANTS]) for at in range(0, len(flat), VARIANTS))


def session_requests(contestant: Contestant, sessions: Sequence[str]) -> list[bytes]:
    """Return an HTTP request for a single step of each session, in their order."""
    rows = draw(len(sessions))
    return [
        request(contestant.path(name), contestant.body(name, row)) for name, row in zip(sessions, rows, strict=True)
    ]


def names(count: int) -> list[str]:
    """Return the names of the first sessions."""
    return [f"s{index:03d}" for index in range(count)]


def draw(rows: int) -> list[list[float]]:
    """Return inputs of single steps, the same each time."""
    random = np.random.default_rng(rows)
    found: list[list[float]] = random.standard_normal((rows, model.CASE.in_size), np.float32).tolist()
    return found


@contextmanager
def set_up(cores: Cores, data: Path | None, *, with_peers: bool) -> Iterator[Stage]:
    """Start all processes, compare their outputs, and freeze them. Raise Disagreement."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, data))
        generator = stack.enter_context(Generator(cores.outside))
        flooder = stack.enter_context(Generator(cores.service))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        weights = directory / model.WEIGHTS_FILE
        model.write_weights(weights)
        both = (cores.service, cores.outside)  # a first run compiles the kernels, in parallel with other starts
        found = [contestants.start_baseline(stack, name, both) for name in BASELINES]
        if with_peers:
            found.append(contestants.start_torch(stack, both, redis, weights))
            found += [contestants.start_litserve(stack, both, weights, batch) for batch in BATCHES]
            ray = contestants.start_ray(stack, both, weights)
            found += [ray] if ray else []
        cellar, replica = contestants.start_cellars(stack, both, redis, 2)
        contestants.create_model(cellar)
        contestants.create_sessions(cellar, ["agreement", ORIGINAL, *names(SESSIONS)])
        everybody = {contestant.name: contestant for contestant in [cellar, *found]}
        watch = Watch(cores, redis.process, generator.process)
        stage = Stage(cores, redis, generator, flooder, watch, directory, everybody, replica)
        check_agreement(list(everybody.values()))
        flooder.process.freeze()
        for contestant in (*everybody.values(), replica):
            contestant.process.pin(cores.service)
            contestant.process.freeze()
        yield stage


def check_agreement(everybody: Sequence[Contestant]) -> None:
    """Take three steps of one session with each server, and compare the outputs of those that run the model."""
    inputs = draw(3)

    def answers(contestant: Contestant) -> list[list[float]]:
        return [ask(contestant, "agreement", features) for features in inputs]

    with ThreadPoolExecutor(len(everybody)) as beside:
        found = dict(zip([each.name for each in everybody], beside.map(answers, everybody), strict=True))
    expected = np.array(found["cellar"])
    for name, outputs in found.items():
        wanted = np.array(inputs) if name in BASELINES else expected
        if not np.allclose(np.array(outputs), wanted, rtol=0, atol=TOLERANCE):
            raise Disagreement(f"{name} answers other numbers than {'were sent' if name in BASELINES else 'cellar'}")
