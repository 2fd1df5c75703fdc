"""Samples in rounds: contestants take turns, backwards in every other round, and are compared round by round.

While one is measured, the others stand still. A sample in which other programs used the two cores is taken again.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.serving.cores import Cores
from benchmarks.serving.load import Found
from benchmarks.serving.processes import Process
from benchmarks.timing import Ratio, paired_ratio

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    sample_s: float
    tries: int
    """How often a disturbed sample is taken at most."""
    all_ways: bool
    """Whether peers and other ways are measured where no bar asks for them."""


QUICK = Effort(rounds=3, sample_s=0.22, tries=1, all_ways=False)
THOROUGH = Effort(rounds=9, sample_s=1.0, tries=4, all_ways=True)

DISTURBED = 0.1
"""A share of the two cores that others may use in a sample; beyond, it is taken again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the load found, and the seconds of CPU a second that were used meanwhile."""

    found: Found
    service: float
    """By the contestant."""
    redis: float
    load: float
    others: float
    """By programs that are no part of the benchmark, as a share of both cores."""
    stolen: float
    """By the host, which let the machine wait: a share of both cores as well."""


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one contestant in one case, a sample a round."""

    case: str
    contestant: str
    samples: tuple[Sample, ...]

    @property
    def rates(self) -> list[float]:
        """Return answers a second."""
        return [sample.found.rate for sample in self.samples]

    @property
    def rate(self) -> float:
        """Return the median of answers a second."""
        return median(self.rates)

    def percentiles_s(self, percent: float) -> list[float]:
        """Return that percentile of each sample, in seconds."""
        return [sample.found.percentile_s(percent) for sample in self.samples]

    def faster_than(self, other: "Series") -> Ratio:
        """Return how many times the other's rate this one has, round by round."""
        return paired_ratio(self.rates, other.rates)


@dataclass(slots=True)
class Watch:
    """Tells what the benchmark's processes used from what others did."""

    cores: Cores
    redis: Process
    generator: Process
    worst: float = 0.0
    """The largest share of both cores that others had in a sample that was kept."""
    _busy_s: float = field(default=0.0, repr=False)

    def sample(self, process: Process, measure: Callable[[], Found], tries: int) -> Sample:
        """Measure a process; again if others disturb it. Return the least disturbed."""
        with running(process):
            best = min(self._samples(process, measure, tries), key=lambda sample: sample.others)
        self.worst = max(self.worst, best.others)
        return best

    def _samples(self, process: Process, measure: Callable[[], Found], tries: int) -> Iterator[Sample]:
        for _ in range(tries):
            ours = process, self.redis, self.generator
            before, begun_s = [*busy_s(self.cores), *(each.cpu_s() for each in ours)], time.perf_counter()
            found = measure()
            after, wall_s = [*busy_s(self.cores), *(each.cpu_s() for each in ours)], time.perf_counter() - begun_s
            busy, stolen, service, redis, load = (
                (late - early) / wall_s for early, late in zip(before, after, strict=True)
            )
            sample = Sample(found, service, redis, load, max(0.0, busy - service - redis - load) / 2, stolen / 2)
            yield sample
            if sample.others <= DISTURBED:
                return


Way = tuple[Process, Callable[[], Found]]
"""A contestant, and what puts it under load."""


def interleave(watch: Watch, case: str, ways: Mapping[str, Way], effort: Effort) -> dict[str, Series]:
    """Return a series for each way, by its name."""
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(effort.rounds):
        for name in order:
            samples[name].append(watch.sample(*ways[name], effort.tries))
        order.reverse()
    return {name: Series(case, name, tuple(found)) for name, found in samples.items()}


@contextmanager
def running(process: Process) -> Iterator[None]:
    """Let a frozen process run, and freeze it again."""
    process.thaw()
    try:
        yield
    finally:
        process.freeze()


def busy_s(cores: Cores) -> tuple[float, float]:
    """Return the seconds that both cores have worked, whoever for, and those that they would have if the host had let.

    A virtual machine may have less time than its cores promise: where the host counts the work on its disk as well,
    heavy writing leaves less for all else. Then it stands still for some milliseconds at a time.
    """
    lines = dict(line.split(maxsplit=1) for line in Path("/proc/stat").read_text().splitlines())
    found = lost = 0
    for core in (cores.service, cores.outside):
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, lines[f"cpu{core}"].split()[:8])
        found += user + nice + system + irq + softirq
        lost += steal
    return found / _TICKS, lost / _TICKS
