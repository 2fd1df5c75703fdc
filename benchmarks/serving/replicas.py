"""Two replicas on one Redis: what it costs when a session stays with one, and when every request goes anywhere."""

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
"""What a sample is made of: steps are counted, and not time, so that none is under way when the counting ends."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a step: seconds of CPU of all replicas, and round trips of the store that it took part in."""

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
    """Return so many steps of each client's session; a client's port depends on its number alone."""
    firsts = session_requests(stage.cellar, names(CLIENTS))
    return replace(once(ports, firsts * times, CLIENTS), roam=roam)


def _cost(stage: Stage, job: Job) -> Cost:
    """Return what the steps of a job cost, after a step of each session: so that its replica knows it."""
    firsts = [requests[0] for requests in job.clients]
    stage.generator.run(replace(once(job.ports, firsts, len(firsts)), roam=job.roam))
    processes = stage.cellar.process, stage.replica.process
    before_s, asked = sum(process.cpu_s() for process in processes), _asked(stage)
    found = stage.generator.run(job)
    cpu_s, trips = sum(process.cpu_s() for process in processes) - before_s, _asked(stage) - asked
    return Cost(cpu_s / found.answered, trips / found.answered)


def _asked(stage: Stage) -> int:
    """Return how many commits and reads of sessions Redis has been asked for: each read comes with one EXISTS.

    What the sweepers of both replicas ask for is among them: about a hundredth of what a sample has.
    """
    with stage.redis.client() as client:
        stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "exists"))
