"""Formats results: a line for each case, a JSON file, and a summary line."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.timing import Ratio

RESULTS = Path(__file__).parent / "results"

_CASE_WIDTH, _TIME_WIDTH = 28, 11


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one case. Times are medians, in seconds for a call."""

    case: Case
    ours_s: float
    peers_s: Mapping[str, float]
    """The time of each peer and way. Those far from the best were timed only roughly."""
    best: str
    """The name of the fastest peer."""
    ratio: Ratio
    """Its time divided by that of Cellar."""
    variant: str = ""
    """The name of the variant of Cellar, "" for the default; the summary includes only the default."""
    passes: int = 1
    """How often a call computes the matrix products of the case: 1 for inference, more for training."""
    p99_s: tuple[float, float] | None = None
    """The 99th percentiles of single calls of Cellar and of the best peer."""
    of_reads: float | None = None
    """The rate of reading weights, divided by the rate of reading a buffer of the same size."""

    @property
    def name(self) -> str:
        """Return the name of the case, with the variant if there is one."""
        return f"{self.case.name} {self.variant}".rstrip()

    @property
    def gflops(self) -> float:
        """Return the GFLOP/s of the matrix products."""
        return self.passes * self.case.flops / self.ours_s / 1e9

    @property
    def weight_gb(self) -> float:
        """Return the GB/s of weights, if each step reads each weight once."""
        return self.passes * self.case.weight_bytes * self.case.steps / self.ours_s / 1e9


def header(peers: Sequence[str]) -> str:
    """Return the line above the table."""
    columns = "".join(f"{name:>{max(_TIME_WIDTH, len(name) + 2)}}" for name in ("cellar us", *peers))
    return f"{'case':<{_CASE_WIDTH}}{columns}   ratio [interval]     GFLOP/s   GB/s  of reads   p99 us (best peer)"


def line(result: Result) -> str:
    """Return the line of a case; the best peer's time has a star."""
    times = f"{_us(result.ours_s):>{_TIME_WIDTH}}"
    for name, seconds in result.peers_s.items():
        mark = "*" if name == result.best else ""
        times += f"{mark + _us(seconds):>{max(_TIME_WIDTH, len(name) + 2)}}"
    ratio = f"{result.ratio.median:8.2f} [{result.ratio.low:.2f} {result.ratio.high:.2f}]"
    reads = "" if result.of_reads is None else f"{result.of_reads:.0%}"
    p99 = "" if result.p99_s is None else f"{_us(result.p99_s[0])} ({_us(result.p99_s[1])})"
    # The figures of the case do not apply to a variant: its weights have half of the bytes.
    work = f"{result.gflops:>10.1f}{result.weight_gb:>7.1f}" if not result.variant else " " * 17
    rates = f"{work}{reads:>10}   {p99}"
    return f"{result.name:<{_CASE_WIDTH}}{times}{ratio:<22}{rates}".rstrip()


def summary(results: Sequence[Result]) -> str:
    """Return the last line: the worst ratio with its case, and the geometric mean of all ratios."""
    plain = [result for result in results if not result.variant]
    worst = min(plain, key=lambda result: result.ratio.median)
    mean = math.exp(sum(math.log(result.ratio.median) for result in plain) / len(plain))
    return f"worst ratio {worst.ratio.median:.2f} at {worst.name}; geometric mean {mean:.2f}"


def write(path: Path, facts: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write a JSON file with the facts of the machine and the run, and the cases."""
    cases = [
        asdict(result) | {"name": result.name, "gflops": result.gflops, "weight_gb": result.weight_gb}
        for result in results
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(facts) | {"summary": summary(results), "cases": cases}, indent=1) + "\n")


def _us(seconds: float) -> str:
    """Return microseconds with three digits or more."""
    microseconds = seconds * 1e6
    digits = 2 if microseconds < 10 else 1 if microseconds < 100 else 0
    return f"{microseconds:.{digits}f}"
