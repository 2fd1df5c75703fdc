"""Measures two replicas on one Redis, with sessions routed to one replica and with requests routed at random."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.serving.bars import Bar
from benchmarks.serving.load import Job, once
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.rounds import Effort
from benchmarks.serving.stage import Stage, names, session_requests

CLIENTS = 64

STEPS_A_SECOND = 4000
"""Steps of a sample. Its length is a number of steps and not a time, so that none is in flight at its end."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a step: CPU seconds of all replicas, and its share of round trips to the store."""

    cpu_s: float
    trips: float


def measure(stage: Stage, effort: Effort) -> Outcome:
    """Measure the same load on one replica, on two routed by session, and on two at random."""
    one, two = (stage.cellar.port,), (stage.cellar.port, stage.replica.port)
    ways = {"one": (one, False), "routed": (two, False), "random": (two, True)}
    steps = STEPS_A_SECOND * effort.sample_s
    jobs = {name: _job(stage, ports, max(1, round(steps / CLIENTS)), roam=roam) for name, (ports, roam) in ways.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in jobs}
    stage.redis.set_fsync("everysec")
    for process in (stage.cellar.process, stage.replica.process):
        process.thaw()
    order = list(jobs)
    for _ in range(effort.rounds):
        for name in order:
            costs[name].append(_cost(stage, jobs[name]))
        order.reverse()
    for process in (stage.cellar.process, stage.replica.process):
        process.freeze()
    return _outcome(costs)


def _outcome(costs: Mapping[str, list[Cost]]) -> Outcome:
    pairs = zip(costs["routed"], costs["one"], strict=True)
    more = median(routed.cpu_s / one.cpu_s for routed, one in pairs)
    trips = {name: median(cost.trips for cost in found) for name, found in costs.items()}
    return Outcome(
        bars=[
            Bar("replicas_routed_cpu", more, 1.1, at_most=True, means="CPU of a step over that of one replica"),
            Bar("replicas_routed_trips", trips["routed"], 1.02, at_most=True, means="round trips of the store a step"),
            Bar("replicas_random_trips", trips["random"], 2.0, at_most=True, means="round trips of the store a step"),
        ],
        remarks=[
            f"replicas, {name}: {median(cost.cpu_s for cost in found) * 1e6:.0f} us of CPU and "
            f"{trips[name]:.2f} round trips a step"
            for name, found in costs.items()
        ],
    )


def _job(stage: Stage, ports: tuple[int | str, ...], times: int, *, roam: bool) -> Job:
    """Return `count` steps of the session of each client; the port of a client depends only on its number."""
    firsts = session_requests(stage.cellar, names(CLIENTS))
    return replace(once(ports, firsts * times, CLIENTS), roam=roam)


def _cost(stage: Stage, job: Job) -> Cost:
    """Return the cost of the steps of a load, after a step of each session that puts it into its replica's memory."""
    firsts = [requests[0] for requests in job.clients]
    stage.generator.run(replace(once(job.ports, firsts, len(firsts)), roam=job.roam))
    processes = stage.cellar.process, stage.replica.process
    before_s, asked = sum(process.cpu_s() for process in processes), _asked(stage)
    found = stage.generator.run(job)
    cpu_s, trips = sum(process.cpu_s() for process in processes) - before_s, _asked(stage) - asked
    return Cost(cpu_s / found.answered, trips / found.answered)


def _asked(stage: Stage) -> int:
    """Return the number of commits and reads of sessions that Redis has received: each read has one EXISTS.

    The commands of the sweepers of both replicas are included, about a hundredth of a sample.
    """
    with stage.redis.client() as client:
        stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "exists"))
