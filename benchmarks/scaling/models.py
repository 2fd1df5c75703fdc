"""Measures the cost of a step with many models of one network, each with a few sessions."""

import random
from collections.abc import Sequence

from benchmarks.cases import Case
from benchmarks.ours import network_spec
from benchmarks.scaling.scene import CLIENTS, Row, Scene, grown
from benchmarks.serving.http import post

SESSIONS = 10
"""Sessions of each model."""

CASE = Case("lstm", 8, 32, 1, 1)

LIMITS = {1: 1.0, 64: 1.3, 1_000: 1.3, 10_000: 1.6}


def measure(scene: Scene) -> Row:
    """Step random sessions of one model, of 64, and so on."""
    counts = [1, 64] if scene.extent.quick else list(LIMITS)
    sessions = _create(scene, counts[-1])
    body = {"input": CASE.in_size * [0.5]}
    draw = random.Random(0)

    def step(count: int) -> float:
        most = max(CLIENTS, count * SESSIONS)  # one model has as many sessions as there are clients
        chosen = draw.choices(sessions[:most] if count > 1 else sessions[-CLIENTS:], k=scene.extent.requests)
        return scene.send([post(f"/v1/sessions/{name}/step", body) for name in chosen])

    found = scene.interleaved({f"{count}": lambda count=count: step(count) for count in counts})  # type: ignore[misc]
    return grown("models", found, {f"{count}": limit for count, limit in LIMITS.items()})


def _create(scene: Scene, count: int) -> Sequence[str]:
    """Create models with their sessions, and more sessions of the last. Return all sessions, in the models' order."""
    network = network_spec(CASE).model_dump(mode="json")
    scene.send([post("/v1/models", {"name": f"m{n}", "network": network, "seed": n}) for n in range(count)])
    names = [(f"m{n}", f"m{n}-{index}") for n in range(count) for index in range(SESSIONS)]
    names += [(f"m{count - 1}", f"same-{index}") for index in range(CLIENTS)]
    scene.send([post("/v1/sessions", {"session": name, "model": model}) for model, name in names])
    return [name for _, name in names]
