"""Measures single steps as JSON over HTTP: their rate, the time that a step adds to a request, and percentiles."""

from array import array
from collections.abc import Iterator
from functools import partial
from statistics import median

import numpy as np

from benchmarks.serving.bars import Bar
from benchmarks.serving.load import Found, Job
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.redis_server import Fsync
from benchmarks.serving.rounds import Effort, Way, interleave
from benchmarks.serving.stage import PEERS, Stage, requests
from benchmarks.timing import paired_ratio

CLIENTS = 32

WARM_S = 0.1
"""Seconds of load before the measurement."""

STEADY_CLIENTS = 128
"""Connections of the open loop: more than are in use at once, so that requests wait in the service."""

LOAD = 0.7
"""The rate of the open loop, as a share of that of the closed loop."""

EVERYSEC = "cellar everysec"


def throughput(stage: Stage, effort: Effort) -> Outcome:
    """Measure 32 clients in a closed loop, each with a session of its own."""
    ways = {
        name: _closed(stage, name, CLIENTS, effort, fsync)
        for name, fsync in _entries(stage, [name for name in stage.all if name not in ("cellar", "websocket-echo")])
    }
    found = interleave(stage.watch, f"step json, {CLIENTS} clients", ways, effort)
    ours = found["cellar"]
    bars = [
        Bar("http_json_echo", ours.faster_than(found["fastapi-echo"]).median, 3.0, means="rate over the FastAPI echo's")
    ]
    if "torch-redis" in found:
        lit = max((found[name] for name in found if name.startswith("litserve")), key=lambda series: series.rate)
        bars += [
            Bar(
                "http_json_torch_redis", ours.faster_than(found["torch-redis"]).median, 10, means="rate over the peer's"
            ),
            Bar("http_json_litserve", ours.faster_than(lit).median, 24, means=f"rate over that of {lit.contestant}"),
        ]
    costs = {name: paired_ratio(other.cpu_us, ours.cpu_us).median for name, other in found.items() if name in stage.all}
    others = ", ".join(f"{name} {times:.2f}" for name, times in costs.items() if name != ours.contestant)
    return Outcome(list(found.values()), bars, [f"CPU time of a request over that of Cellar's step: {others}"])


def added(stage: Stage, effort: Effort) -> Outcome:
    """Measure one client in a closed loop: the time of a step less that of a request to the bare application."""
    ways = {
        name: _closed(stage, name, 1, effort, fsync)
        for name, fsync in _entries(stage, ["bare", *PEERS * effort.all_ways])
    }
    found = interleave(stage.watch, "step json, 1 client", ways, effort)

    def more_ms(name: str) -> float:
        pairs = zip(found[name].percentiles_s(50), found["bare"].percentiles_s(50), strict=True)
        return median(ours - bare for ours, bare in pairs) * 1e3

    return Outcome(
        list(found.values()),
        [Bar("added_p50_ms", more_ms("cellar"), 0.4, at_most=True, means="p50 less that of the bare ASGI application")],
    )


def steadiness(stage: Stage, effort: Effort) -> Outcome:
    """Measure an open loop at 70% of the rate of the closed loop before it, with requests due at random times."""
    random = np.random.default_rng(0)
    process, closed = _closed(stage, "cellar", CLIENTS, effort, "always")
    capacity = stage.watch.sample(process, closed, effort.tries).found.rate

    def measure(fsync: Fsync) -> Found:
        stage.redis.set_fsync(fsync)
        rate, until_s = LOAD * capacity, WARM_S + effort.sample_s
        gaps = random.exponential(1 / rate, int(rate * until_s))
        due = array("d", np.cumsum(gaps).tolist())
        job = Job((stage.cellar.port,), requests(stage.cellar, STEADY_CLIENTS), 0.0, warm_s=WARM_S, due_s=due)
        return stage.generator.run(job)

    entries = [*_entries(stage, [])][: None if effort.all_ways else 1]
    ways = {name: (stage.cellar.process, partial(measure, fsync)) for name, fsync in entries}
    found = interleave(stage.watch, f"step json, open loop at {LOAD:.0%}", ways, effort)
    always = found["cellar"]
    ratios = [late / middle for late, middle in zip(always.percentiles_s(99), always.percentiles_s(50), strict=True)]
    return Outcome(
        list(found.values()), [Bar("p99_over_p50", median(ratios), 3, at_most=True, means="at 70% of capacity")]
    )


def _entries(stage: Stage, others: list[str]) -> Iterator[tuple[str, Fsync]]:
    """Yield contestants and their fsync: Cellar with both settings, the others with the setting of the bars."""
    yield "cellar", "always"
    yield EVERYSEC, "everysec"
    yield from ((name, "always") for name in others if name in stage.all)


def _closed(stage: Stage, name: str, clients: int, effort: Effort, fsync: Fsync) -> Way:
    contestant = stage.cellar if name == EVERYSEC else stage.all[name]
    job = Job((contestant.port,), requests(contestant, clients), effort.sample_s, warm_s=WARM_S)

    def measure() -> Found:
        stage.redis.set_fsync(fsync)
        return stage.generator.run(job)

    return contestant.process, measure
