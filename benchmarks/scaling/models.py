"""Measures the cost of a step with many models, each with a few sessions: of one network, and of different ones."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from benchmarks.cases import Case
from benchmarks.ours import kernel_cache, network_spec
from benchmarks.scaling.scene import CLIENTS, Row, Scene, grown
from benchmarks.serving import contestants, copies
from benchmarks.serving.bars import Bar
from benchmarks.serving.http import post
from cellar.models.registry import Registry
from cellar.nn.model.spec import NetworkSpec
from cellar.ports.clock import SystemClock
from cellar.store.catalogue.blobs.redis import RedisBlobs
from cellar.store.catalogue.models import RedisModels
from cellar.store.topology.factory import sync_client

SESSIONS = 10
"""Sessions of each model."""

CASE = Case("lstm", 8, 32, 1, 1)

LIMITS = {1: 1.0, 64: 1.3, 1_000: 1.3, 10_000: 1.6}

DIFFERENT, DIFFERENT_LIMIT = 300, 1.6
"""Models of different networks: cells and sizes vary."""

CELLS = ("lstm", "gru", "lstm_peephole", "gru_torch")

FIRST_STEP_US, LOADED = 500.0, 1_000
"""The bar of the first step of a model after a restart, and the most models that are measured."""

CACHE_BYTES = str(1024**3)

BODY = {"input": CASE.in_size * [0.5]}

Networks = Sequence[dict[str, Any]]


def measure(scene: Scene) -> Row:
    """Step random sessions of one model, of 64, and so on, and then of models of different networks."""
    counts = [1, 64] if scene.extent.quick else list(LIMITS)
    different = 32 if scene.extent.quick else DIFFERENT
    sessions = create(scene, "m", [_network(CASE)] * counts[-1])
    same = [f"same-{index}" for index in range(CLIENTS)]  # one model has as many sessions as there are clients
    _copy(scene, [(sessions[0], name) for name in same])
    others = create(scene, "d", [_different(number) for number in range(different)])
    draw = random.Random(0)

    def step(chosen: Sequence[str]) -> float:
        return scene.send([_step(name) for name in draw.choices(chosen, k=scene.extent.requests)])

    ways = {f"{count}": sessions[: count * SESSIONS] if count > 1 else same for count in counts}
    for chosen in (sessions, same, others):
        scene.send([_step(name) for name in chosen])  # each once, so that the service has read it
    # mypy infers no lambda with a default
    found = scene.interleaved({name: lambda chosen=chosen: step(chosen) for name, chosen in ways.items()})  # type: ignore[misc]
    row = grown("models", found, {f"{count}": limit for count, limit in LIMITS.items()})
    apart = scene.interleaved({"1": lambda: step(same), f"{different}": lambda: step(others)})
    row = _joined(row, grown("networks", apart, {f"{different}": DIFFERENT_LIMIT}))
    return _joined(row, _first_steps(scene, sessions[::SESSIONS][:LOADED]))


def create(scene: Scene, prefix: str, networks: Networks) -> list[str]:
    """Create a model of each network with its sessions. Return all sessions, in the models' order."""
    names = [f"{prefix}{number}" for number in range(len(networks))]
    _create_models(scene, names, networks)
    scene.send([post("/v1/sessions", {"session": f"{name}-0", "model": name}) for name in names])
    _copy(scene, [(f"{name}-0", f"{name}-{number}") for name in names for number in range(1, SESSIONS)])
    return [f"{name}-{number}" for name in names for number in range(SESSIONS)]


def _create_models(scene: Scene, names: Sequence[str], networks: Networks) -> None:
    """Create the models in the store, as the service does it, in a fraction of the time of requests."""
    with sync_client(scene.redis.url) as client:
        store = RedisModels(client, copies.PREFIX), RedisBlobs(client, copies.PREFIX)
        registry = Registry(*store, kernel_cache(), SystemClock())
        for seed, (name, network) in enumerate(zip(names, networks, strict=True)):
            registry.create(copies.TENANT, name, NetworkSpec.model_validate(network), seed)


def _copy(scene: Scene, pairs: Sequence[tuple[str, str]]) -> None:
    with scene.redis.client() as client:
        copies.copy_each(client, client, pairs)


def _first_steps(scene: Scene, sessions: Sequence[str]) -> Row:
    """Measure the first step of each model in a process that has just started."""
    with ExitStack() as stack:
        cores = scene.cores.service, scene.cores.outside
        (cellar,) = contestants.start_cellars(stack, cores, scene.redis, 1, model_cache_bytes=CACHE_BYTES)
        cellar.process.pin(scene.cores.service)
        started = replace(scene, cellar=cellar)
        (first, *rest) = [_step(name) for name in sessions]
        first_us = started.send([first])
        each_us = started.send(rest)
    bar = Bar("first_step_us", each_us, FIRST_STEP_US, at_most=True, means="first step of a model after a restart")
    found = f"{first_us:.0f} us of CPU for the very first, {each_us:.0f} us for each of {len(rest)} further models"
    return Row([f"first step after a restart: {found} of its network"], [bar])


def _network(case: Case) -> dict[str, Any]:
    return network_spec(case).model_dump(mode="json", exclude_none=True)


def _different(number: int) -> dict[str, Any]:
    """Return a network whose sizes are about those of the others."""
    hidden = CASE.hidden - 16 + number // len(CELLS) % 32
    network = _network(replace(CASE, hidden=hidden))
    network["layers"][0]["cell"] = CELLS[number % len(CELLS)]
    network["layers"].append({"type": "dense", "out_size": 1 + number // (32 * len(CELLS))})
    return network


def _step(name: str) -> bytes:
    return post(f"/v1/sessions/{name}/step", BODY)


def _joined(*rows: Row) -> Row:
    return Row([line for row in rows for line in row.lines], [bar for row in rows for bar in row.bars])
