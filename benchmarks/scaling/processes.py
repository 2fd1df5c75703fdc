"""Measures the cost of a step in a service with several processes, where each request goes to any of them.

It is compared with as many services of one process on the same Redis, each of which gets the steps of its own sessions:
the cost of a step that comes to the right process.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.scaling.scene import Row, Scene
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant, create_sessions, start_each
from benchmarks.serving.http import post
from benchmarks.serving.load import Job, once
from benchmarks.serving.model import CASE

CLIENTS = 64

CONNECTIONS = 4
"""Connections of a client. The kernel distributes those to several processes. A request goes over one at random."""

MOST_TIMES, MOST_COMMITS = 1.3, 1.05


@dataclass
class Way:
    """Services that get the same load. `commits` are the commits and reads of a step, of each round."""

    scene: Scene
    services: Sequence[Contestant]
    job: Job
    commits: list[float] = field(default_factory=list)

    def sample(self) -> float:
        """Step each session as often; return the microseconds of CPU of all processes for each step."""
        before, before_s = _commits(self.scene), self._cpu_s()
        found = self.scene.generator.run(self.job)
        cpu_s = self._cpu_s() - before_s
        self.commits.append((_commits(self.scene) - before) / found.answered)
        return 1e6 * cpu_s / found.answered

    def _cpu_s(self) -> float:
        return sum(service.process.cpu_s() for service in self.services)


def measure(scene: Scene) -> Row:
    """Step sessions in several processes on one core, routed and not."""
    names = [f"any-{index}" for index in range(CLIENTS)]
    create_sessions(scene.cellar, names)
    requests = [post(scene.cellar.path(name), {"input": CASE.in_size * [0.5]}) for name in names]
    requests *= scene.extent.requests // len(names)
    found = Row([], [])
    for count in [2] if scene.extent.quick else [2, 3]:
        with ExitStack() as stack:
            cores = (scene.cores.service, scene.cores.outside)
            settings = [*count * [{"processes": "1"}], {"processes": str(count)}]
            *routed, several = started = start_each(stack, cores, scene.redis, settings)
            for service in started:
                service.process.pin(scene.cores.service)
            ways = {
                name: Way(
                    scene,
                    services,
                    replace(once(tuple(each.port for each in services), requests, CLIENTS), connections=CONNECTIONS),
                )
                for name, services in (("routed", routed), ("any", [several]))
            }
            _add(found, count, _costs(scene, ways), median(ways["any"].commits))
    return found


def _costs(scene: Scene, ways: dict[str, Way]) -> dict[str, list[float]]:
    """Return the costs of each round, after one that loads the model and the sessions into each process."""
    for way in ways.values():
        way.sample()
        way.commits.clear()
    samples: dict[str, Callable[[], float]] = {name: way.sample for name, way in ways.items()}
    return scene.interleaved(samples)


def _add(row: Row, count: int, costs: dict[str, list[float]], commits: float) -> None:
    times = median(any_one / right for any_one, right in zip(costs["any"], costs["routed"], strict=True))
    row.lines.append(
        f"processes {count}: routed {median(costs['routed']):.1f} us, each request to any {median(costs['any']):.1f} us"
        f" of CPU a step in all processes, {times:.2f} times; {commits:.3f} commits and reads a step"
    )
    row.bars.append(Bar(f"processes_{count}_cpu", times, MOST_TIMES, at_most=True, means="CPU of a step over routed"))
    row.bars.append(Bar(f"processes_{count}_commits", commits, MOST_COMMITS, at_most=True, means="commits a step"))


def _commits(scene: Scene) -> int:
    """Return the number of commits and reads of sessions that Redis has received: each read has one EXISTS."""
    with scene.redis.client() as client:
        stats = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "exists"))
