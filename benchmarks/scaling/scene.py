"""Runs one service on one core, and measures the CPU time of its answers under loads of a fixed number of requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.serving import contestants
from benchmarks.serving.bars import Bar
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.cores import Cores
from benchmarks.serving.generator import Generator
from benchmarks.serving.load import Job, once
from benchmarks.serving.redis_server import RedisServer

CLIENTS = 32


@dataclass(frozen=True, slots=True)
class Extent:
    """The sizes of a run."""

    quick: bool
    rounds: int
    requests: int
    """Requests of a sample."""


QUICK = Extent(quick=True, rounds=2, requests=2_000)
THOROUGH = Extent(quick=False, rounds=7, requests=10_000)


@dataclass(frozen=True, slots=True)
class Scene:
    """The running processes, and the sizes of the run."""

    cores: Cores
    redis: RedisServer
    generator: Generator
    cellar: Contestant
    extent: Extent

    def cpu_us(self, job: Job) -> float:
        """Run a load; return the microseconds of CPU of the service for each answer."""
        before_s = self.cellar.process.cpu_s()
        found = self.generator.run(job)
        return 1e6 * (self.cellar.process.cpu_s() - before_s) / found.answered

    def send(self, requests: Sequence[bytes]) -> float:
        """Send each request once; return the microseconds of CPU of the service for each answer."""
        return self.cpu_us(self.once(requests))

    def once(self, requests: Sequence[bytes], clients: int = CLIENTS) -> Job:
        """Return the load that sends each request once."""
        return once((self.cellar.port,), requests, clients)

    def interleaved(self, ways: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
        """Measure all ways in each round, every other round in reverse. Return a figure of each round, by way."""
        found: dict[str, list[float]] = {name: [] for name in ways}
        order = list(ways)
        for _ in range(self.extent.rounds):
            for name in order:
                found[name].append(ways[name]())
            order.reverse()
        return found


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: its lines, and its bars."""

    lines: list[str]
    bars: list[Bar]


def grown(name: str, found: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> Row:
    """Return the row of a quantity that grows: the first way is the smallest, and limits are times its cost."""
    small, *larger = found
    lines = [f"{name} {small}: {median(found[small]):.1f} us of CPU a step"]
    bars: list[Bar] = []
    for way in larger:
        times = median(large / one for large, one in zip(found[way], found[small], strict=True))
        lines.append(f"{name} {way}: {median(found[way]):.1f} us of CPU a step, {times:.2f} times")
        bars.append(Bar(f"{name}_{way}", times, limits[way], at_most=True, means="CPU of a step over the smallest"))
    return Row(lines, bars)


@contextmanager
def set_up(cores: Cores, extent: Extent, data: Path | None) -> Iterator[Scene]:
    """Start Redis, the load generator and the service with its model."""
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(cores.outside, data))
        generator = stack.enter_context(Generator(cores.outside))
        (cellar,) = contestants.start_cellars(stack, (cores.service, cores.outside), redis, 1)
        contestants.create_model(cellar)
        cellar.process.pin(cores.service)
        redis.set_fsync("everysec")
        yield Scene(cores, redis, generator, cellar, extent)
