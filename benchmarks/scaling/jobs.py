"""Measures how much a training job on the core of the service slows down its steps."""

import random
import subprocess
import sys
import time
from contextlib import ExitStack
from statistics import median

import httpx

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import CLIENTS, Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import MODEL, READY_S, service_environment
from benchmarks.serving.load import Found, Job
from benchmarks.serving.model import CASE
from benchmarks.serving.processes import Process

LIMIT_TIMES = 1.2

SESSIONS = 1_000

SECONDS, QUICK_SECONDS = 1.0, 0.4


def measure(scene: Scene) -> Row:
    """Step sessions while a job runs, and while its worker is stopped, in turn."""
    sessions.create(scene, SESSIONS)
    with ExitStack() as stack:
        command = [sys.executable, "-P", "-m", "cellar.cli", "worker"]
        cores = {scene.cores.service}
        environment = service_environment(scene.redis)
        worker = stack.enter_context(Process(command, cores, environment=environment, output=subprocess.DEVNULL))
        client = stack.enter_context(httpx.Client(base_url=scene.cellar.url, timeout=READY_S))
        job = _begin(client)
        found: dict[bool, list[Found]] = {True: [], False: []}
        for number in range(2 * scene.extent.rounds):
            runs = number % 4 in (0, 3)
            (worker.thaw if runs else worker.freeze)()
            found[runs].append(_steps(scene))
        worker.thaw()
        _check(client, job)
    rates = {runs: median(sample.rate for sample in some) for runs, some in found.items()}
    slow = {runs: 1e3 * median(sample.percentile_s(99) for sample in some) for runs, some in found.items()}
    line = f"job beside serving: {rates[False]:,.0f} steps/s without it, {rates[True]:,.0f} with it; p99"
    return Row(
        [f"{line} {slow[False]:.1f} ms and {slow[True]:.1f} ms"],
        [Bar("job_beside_serving", rates[False] / rates[True], LIMIT_TIMES, at_most=True, means="rate without it")],
    )


def _begin(client: httpx.Client) -> str:
    """Submit a job that does not end by itself, and wait until it trains. Return its name."""
    draw = random.Random(0)
    inputs, targets = (
        [[[draw.uniform(-0.5, 0.5) for _ in range(size)] for _ in range(16)] for _ in range(50)]
        for size in (CASE.in_size, CASE.hidden)
    )
    body = {"model": MODEL, "data": {"inputs": inputs, "targets": targets}, "epochs": 1_000_000}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    name: str = answer.json()["job"]
    until_s = time.monotonic() + READY_S
    while client.get(f"/v1/jobs/{name}").json()["progress"].get("epoch", 0) < 2:
        assert time.monotonic() < until_s, client.get(f"/v1/jobs/{name}").json()
        time.sleep(0.1)
    return name


def _check(client: httpx.Client, job: str) -> None:
    """Check that the job still runs, and cancel it."""
    document = client.get(f"/v1/jobs/{job}").json()
    assert (document["state"], document["error"]) == ("running", None), document
    client.post(f"/v1/jobs/{job}/cancel").raise_for_status()


def _steps(scene: Scene) -> Found:
    """Step the sessions, each client those of its own."""
    requests = [sessions.step(index) for index in range(SESSIONS)]
    clients = tuple(tuple(requests[client::CLIENTS]) for client in range(CLIENTS))
    seconds = QUICK_SECONDS if scene.extent.quick else SECONDS
    return scene.generator.run(Job((scene.cellar.port,), clients, seconds))
