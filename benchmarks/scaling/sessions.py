"""Measures the cost of a step with many sessions that are stepped at random."""

import random

from benchmarks.scaling.scene import Row, Scene, grown
from benchmarks.serving import copies
from benchmarks.serving.contestants import create_sessions
from benchmarks.serving.http import post
from benchmarks.serving.model import CASE
from benchmarks.serving.stage import ORIGINAL

LIMITS = {100: 1.0, 10_000: 1.2, 300_000: 1.2}


def name_of(index: int) -> str:
    """Return the name of a session."""
    return f"fleet-{index:06d}"


BODY = {"input": CASE.in_size * [0.5]}


def create(scene: Scene, count: int) -> None:
    """Create many sessions as copies of one."""
    create_sessions(scene.cellar, [ORIGINAL])
    with scene.redis.client() as client:
        copies.copy(client, client, ORIGINAL, (name_of(index) for index in range(count)))


def measure(scene: Scene) -> Row:
    """Step random sessions among the first hundred, the first ten thousand, and so on."""
    counts = [100, 10_000] if scene.extent.quick else list(LIMITS)
    create(scene, counts[-1])
    draw = random.Random(0)
    for first in range(0, counts[-1], 50_000):  # each once, so that the service has read it
        scene.send([step(index) for index in range(first, min(counts[-1], first + 50_000))])

    def sample(count: int) -> float:
        return scene.send([step(index) for index in draw.choices(range(count), k=scene.extent.requests)])

    found = scene.interleaved({f"{count}": lambda count=count: sample(count) for count in counts})  # type: ignore[misc]
    return grown("sessions", found, {f"{count}": limit for count, limit in LIMITS.items()})


def step(index: int) -> bytes:
    """Return the request for a step of a session."""
    return post(f"/v1/sessions/{name_of(index)}/step", BODY)
