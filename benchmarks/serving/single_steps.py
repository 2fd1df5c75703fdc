"""Single steps as JSON over HTTP: how many a second, what a step adds to an answer's time, and how steady it is."""

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

CLIENTS = 32

WARM_S = 0.1
"""Load before anything counts."""

STEADY_CLIENTS = 128
"""Of the open loop: more than are ever busy at once, so that requests wait in the service and not before it."""

LOAD = 0.7
"""Of what the service can do, in the open loop."""

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
        Bar("http_json_echo", ours.faster_than(found["fastapi-echo"]).median, 2.0, means="rate over the FastAPI echo's")
    ]
    if "torch-redis" in found:
        lit = max((found[name] for name in found if name.startswith("litserve")), key=lambda series: series.rate)
        bars += [
            Bar(
                "http_json_torch_redis", ours.faster_than(found["torch-redis"]).median, 5, means="rate over the peer's"
            ),
            Bar("http_json_litserve", ours.faster_than(lit).median, 8, means=f"rate over that of {lit.contestant}"),
        ]
    return Outcome(list(found.values()), bars)


def added(stage: Stage, effort: Effort) -> Outcome:
    """Measure one client in a closed loop: what a step takes more than a request that does nothing."""
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
    """Measure an open loop at 70% of what the closed loop reached just before, with requests due at random times."""
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
        list(found.values()), [Bar("p99_over_p50", median(ratios), 4, at_most=True, means="at 70% of capacity")]
    )


def _entries(stage: Stage, others: list[str]) -> Iterator[tuple[str, Fsync]]:
    """Yield who is measured with which fsync: Cellar with both, the others as Cellar's bars are."""
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
