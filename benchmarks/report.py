"""What is printed and kept: a line a case, a file of JSON, and one line that sums up."""

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
    """One case as Cellar and its peers ran it. Times are medians, seconds a call."""

    case: Case
    ours_s: float
    peers_s: Mapping[str, float]
    """Of every peer and way. Those far from the best were timed only roughly."""
    best: str
    """The fastest of them."""
    ratio: Ratio
    """Its time over ours."""
    variant: str = ""
    """What our side does otherwise than plainly; only plain rows are summed up."""
    passes: int = 1
    """How often a call does the case's products: forward, and perhaps back."""
    p99_s: tuple[float, float] | None = None
    """Ours and the best peer's, of single calls."""
    of_reads: float | None = None
    """How much of the machine's rate of reading a buffer as large as the weights was reached."""

    @property
    def name(self) -> str:
        """Return the case, and the variant if it is one."""
        return f"{self.case.name} {self.variant}".rstrip()

    @property
    def gflops(self) -> float:
        """Return the products' 10^9 floating-point operations a second."""
        return self.passes * self.case.flops / self.ours_s / 1e9

    @property
    def weight_gb(self) -> float:
        """Return the 10^9 bytes of weights a second, if every step reads each once."""
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
    # What a variant does differs from what the case counts: its weights have half of the bytes.
    work = f"{result.gflops:>10.1f}{result.weight_gb:>7.1f}" if not result.variant else " " * 17
    rates = f"{work}{reads:>10}   {p99}"
    return f"{result.name:<{_CASE_WIDTH}}{times}{ratio:<22}{rates}".rstrip()


def summary(results: Sequence[Result]) -> str:
    """Return the last line: the worst ratio, where, and the geometric mean of all."""
    plain = [result for result in results if not result.variant]
    worst = min(plain, key=lambda result: result.ratio.median)
    mean = math.exp(sum(math.log(result.ratio.median) for result in plain) / len(plain))
    return f"worst ratio {worst.ratio.median:.2f} at {worst.name}; geometric mean {mean:.2f}"


def write(path: Path, facts: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Write everything as JSON: facts of the machine and the run, then the cases."""
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
