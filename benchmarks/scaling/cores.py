"""Measures what a second process and core are worth, with Redis and the load on the same two cores.

A plain step takes the load generator and Redis together as much CPU time as the api, so on two cores a second process
cannot add much, whatever it costs itself: the line of steps shows it, with the shares of both cores that each of them
used. With two processes half of the connections end at a process that does not own the session of the step, which is
forwarded, and each process commits its own steps, so that Redis has more and smaller commits. The bar is on sequences,
whose steps are nearly all the work of the api.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from random import Random
from statistics import median

from benchmarks.scaling import sessions
from benchmarks.scaling.scene import CLIENTS, Row, Scene
from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.http import post
from benchmarks.serving.load import Job
from benchmarks.serving.model import CASE

LIMIT = 1.5
"""Steps a second of two processes over those of one."""

SECONDS, QUICK_SECONDS = 1.0, 0.2

STEPS = 64
"""Steps of a sequence."""


def measure(scene: Scene) -> Row:
    """Step sessions, one for each connection, in a service of one process and in one of two."""
    both = (scene.cores.service, scene.cores.outside)
    sessions.create(scene, 3 * CLIENTS)
    for process in (scene.redis.process, scene.generator.process):
        process.allow(both)
    with ExitStack() as stack:
        ways: dict[str, Callable[[], float]] = {}
        shares: dict[str, list[tuple[float, ...]]] = {}
        counts = (1, 2)
        cellars = contestants.start_each(stack, both, scene.redis, [{"processes": str(count)} for count in counts])
        for processes, cellar in zip(counts, cellars, strict=True):
            names = [sessions.name_of(processes * CLIENTS + client) for client in range(CLIENTS)]
            ways |= _ways(scene, cellar, names, processes, shares)
        found = scene.interleaved(ways)
    for process in (scene.redis.process, scene.generator.process):
        process.pin(scene.cores.outside)
    lines, bars = [], []
    for kind in ("steps", "sequences"):
        one, two = found[f"1 {kind}"], found[f"2 {kind}"]
        times = median(many / few for few, many in zip(one, two, strict=True))
        lines.append(
            f"cores, {kind}: {median(one):.0f} steps a second, {median(two):.0f} with two processes, {times:.2f}"
        )
        lines += [f"cores, {kind}, {way}: {_used(shares[f'{way} {kind}'])}" for way in (1, 2)]
        if kind == "sequences":
            bars.append(Bar("processes_2", times, LIMIT, means="steps a second of two processes over one"))
    return Row(lines, bars)


def _used(shares: list[tuple[float, ...]]) -> str:
    """Return the shares of the two cores that each part used, the medians of the rounds."""
    service, redis, load = (median(each) for each in zip(*shares, strict=True))
    return f"of the two cores the service used {service:.0%}, Redis {redis:.0%}, the load {load:.0%}"


def _ways(
    scene: Scene, cellar: Contestant, names: list[str], processes: int, shares: dict[str, list[tuple[float, ...]]]
) -> dict[str, Callable[[], float]]:
    """Return the measurements of a service: the rate of its steps, alone and in sequences. Add the shares of each."""
    draw, seconds = Random(0), QUICK_SECONDS if scene.extent.quick else SECONDS
    inputs = [[round(draw.uniform(-1, 1), 4) for _ in range(CASE.in_size)] for _ in range(STEPS)]

    parts = cellar.process, scene.redis.process, scene.generator.process

    def rate(kind: str, route: str, body: Mapping[str, object], steps: int) -> float:
        clients = tuple((post(f"/v1/sessions/{name}/{route}", body),) for name in names)
        before, begun_s = [part.cpu_s() for part in parts], time.perf_counter()
        found = scene.generator.run(Job((cellar.port,), clients, seconds))
        both_s = 2 * (time.perf_counter() - begun_s)
        used = tuple((part.cpu_s() - early) / both_s for part, early in zip(parts, before, strict=True))
        shares.setdefault(f"{processes} {kind}", []).append(used)
        return steps * found.rate

    return {
        f"{processes} steps": lambda: rate("steps", "step", sessions.BODY, 1),
        f"{processes} sequences": lambda: rate("sequences", "sequence", {"inputs": inputs}, STEPS),
    }
