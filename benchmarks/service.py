"""Compares the speed of sessions with baselines and with other software: `make bench-service`.

It starts a private Redis, `cellar serve`, baselines, peers and the load generator as processes. What is measured has
one core; the load and Redis have the other one.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.facts import described, machine_facts
from benchmarks.report import RESULTS
from benchmarks.serving import idle, many, memory, replicas, sequences, single_steps, streams, table
from benchmarks.serving.bars import Bar
from benchmarks.serving.cores import choose
from benchmarks.serving.disk import sync_s
from benchmarks.serving.outcome import Outcome
from benchmarks.serving.profile import LOADS, profile
from benchmarks.serving.rounds import QUICK, THOROUGH, Effort, Series
from benchmarks.serving.stage import Stage, set_up
from benchmarks.sizing import constant_lines, constants_of

PACKAGES = ("fastapi", "uvicorn", "uvloop", "httptools", "redis", "hiredis", "torch", "litserve")


@dataclass(slots=True)
class Results:
    """The results of the cases so far; each is printed when it is added."""

    series: list[Series]
    bars: list[Bar]

    def add(self, outcome: Outcome) -> None:
        """Print and store the result of a case."""
        self.series += outcome.series
        self.bars += outcome.bars
        print("\n".join([*table.lines(outcome.series), *outcome.remarks]), flush=True)


def main() -> None:
    """Measure, print, write the file, and print the bars."""
    options = _read()
    if options.profile:
        return profile(options.profile, options.data)
    effort = QUICK if options.quick else THOROUGH
    with set_up(choose(), options.data, with_peers=not options.no_peers) as stage:
        found = machine_facts(PACKAGES) | _surroundings(stage)
        print(described(found))
        print(table.LEGEND)
        print(table.header())
        results = Results([], [])
        _measure(stage, effort, options, results)
        found["others_cpu_worst"] = stage.watch.worst
    table.write(options.json, found, results.series, results.bars)
    print(f"other programs used up to {stage.watch.worst:.0%} of the two cores while a sample was taken")
    print(f"written to {options.json}")
    if not options.only:  # docs/sizing.md has these lines: python -m benchmarks.sizing
        print("\n".join(constant_lines(constants_of(json.loads(options.json.read_text())))))
    for bar in results.bars:
        print(bar.line())
    return None


def _measure(stage: Stage, effort: Effort, options: argparse.Namespace, results: Results) -> None:
    """Run the cases that the options select."""
    cases: dict[str, Callable[[], Outcome]] = {
        "http": lambda: single_steps.throughput(stage, effort),
        "added": lambda: single_steps.added(stage, effort),
        "steady": lambda: single_steps.steadiness(stage, effort),
        "websocket": lambda: streams.throughput(stage, effort),
        "sequences": lambda: sequences.throughput(stage, effort),
        "many": lambda: many.throughput(stage, effort),
        "replicas": lambda: replicas.measure(stage, effort),
        "idle": lambda: idle.measure(stage, effort),
        "memory": lambda: memory.measure(stage, million=not options.quick),
    }
    for name, case in cases.items():
        if options.only in name:
            results.add(case())


def _surroundings(stage: Stage) -> dict[str, Any]:
    """Return the version of the Redis, and the time of a small write to its disk."""
    return {"redis_server": str(stage.redis.binary.release), "fsync_ms": round(sync_s(stage.redis.directory) * 1e3, 3)}


def _read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples of the same cases")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--profile", choices=LOADS, help="only print where the service's time goes under this load")
    parser.add_argument("--no-peers", action="store_true", help="baselines only")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where Redis keeps its files (default: the temporary)")
    parser.add_argument("--json", type=Path, default=RESULTS / "service.json", help="the file to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
