"""Measures contestants in rounds, in the reverse order in every other round, and compares them within each round.

While one is measured, the others are frozen. A sample is taken again if other programs used the two cores during it.
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
    """The extent of the measurement."""

    rounds: int
    sample_s: float
    tries: int
    """How often a disturbed sample is repeated at most."""
    all_ways: bool
    """Whether peers and other ways are measured for which there is no bar."""


QUICK = Effort(rounds=3, sample_s=0.22, tries=1, all_ways=False)
THOROUGH = Effort(rounds=9, sample_s=1.0, tries=4, all_ways=True)

DRAIN_S = 0.1
"""Time in which requests in flight end, seconds."""

DISTURBED = 0.1
"""Share of the two cores that other programs may use in a sample; above it, the sample is repeated."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The measurement of a load, and the shares of CPU time that were used during it."""

    found: Found
    service: float
    """CPU seconds a second of the contestant."""
    redis: float
    load: float
    others: float
    """Share of both cores that other programs used."""
    stolen: float
    """Share of both cores that the host of the virtual machine withheld."""


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one contestant in one case, one for each round."""

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

    @property
    def cpu_us(self) -> list[float]:
        """Return the CPU time of the contestant for one answer, in microseconds."""
        return [1e6 * sample.service / sample.found.rate for sample in self.samples]

    def percentiles_s(self, percent: float) -> list[float]:
        """Return a percentile of each sample, in seconds."""
        return [sample.found.percentile_s(percent) for sample in self.samples]

    def faster_than(self, other: "Series") -> Ratio:
        """Return the ratio of this rate to that of another series, for each round."""
        return paired_ratio(self.rates, other.rates)


@dataclass(slots=True)
class Watch:
    """Measures the CPU time of the processes of the benchmark and of other programs."""

    cores: Cores
    redis: Process
    generator: Process
    worst: float = 0.0
    """The largest share of both cores that other programs used in a kept sample."""
    _busy_s: float = field(default=0.0, repr=False)

    def sample(self, process: Process, measure: Callable[[], Found], tries: int) -> Sample:
        """Measure a process; repeat disturbed samples. Return the least disturbed one."""
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
"""A contestant with the function that runs its load."""


def interleave(watch: Watch, case: str, ways: Mapping[str, Way], effort: Effort) -> dict[str, Series]:
    """Return a series for each contestant, by its name."""
    samples: dict[str, list[Sample]] = {name: [] for name in ways}
    order = list(ways)
    for _ in range(effort.rounds):
        for name in order:
            samples[name].append(watch.sample(*ways[name], effort.tries))
        order.reverse()
    return {name: Series(case, name, tuple(found)) for name, found in samples.items()}


@contextmanager
def running(process: Process) -> Iterator[None]:
    """Resume a frozen process, and freeze it again at the end.

    What is in flight ends before: to the service, a batch that is frozen is one that takes very long.
    """
    process.thaw()
    try:
        yield
    finally:
        time.sleep(DRAIN_S)
        process.freeze()


def busy_s(cores: Cores) -> tuple[float, float]:
    """Return the busy seconds of both cores for all programs, and the seconds that the host withheld in addition.

    A virtual machine may get less time than its cores have. If the host counts disk writes as CPU time too,
    much writing leaves less time for the rest, and the machine is stopped for some milliseconds at a time.
    """
    lines = dict(line.split(maxsplit=1) for line in Path("/proc/stat").read_text().splitlines())
    found = lost = 0
    for core in (cores.service, cores.outside):
        user, nice, system, _idle, _wait, irq, softirq, steal = map(int, lines[f"cpu{core}"].split()[:8])
        found += user + nice + system + irq + softirq
        lost += steal
    return found / _TICKS, lost / _TICKS
