"""The command line of the benchmarks of the engine and of training: options, facts, result file and summary."""

import argparse
import gc
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.facts import described, facts
from benchmarks.ours import kernel_cache
from benchmarks.peers import load
from benchmarks.race import QUICK, THOROUGH, Effort
from benchmarks.report import Result
from cellar.engine import KernelCache

SPINNING_S = 0.02
"""Pause before a sample: longer than the threads of any peer spin after a call."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    effort: Effort
    threads: int
    only: str
    """Only cases whose names contain this text are run."""
    json: Path


Measure = Callable[[KernelCache, Options], tuple[Mapping[str, Any], list[Result]]]
"""A function that measures and prints; it returns further facts and the results."""


def measured(text: str | None, name: str, warm: Callable[[KernelCache], None], measure: Measure) -> None:
    """Read the options, compile while the peers' libraries are loaded, measure, write the file, print the summary."""
    options = _read(text, name)
    cache = kernel_cache()
    with ThreadPoolExecutor(1) as beside:
        compiling = beside.submit(warm, cache)
        load()
        compiling.result()
    gc.freeze()  # the libraries' objects, so that a collection between cases is cheap
    found = facts(options.threads)
    print(described(found))
    further, results = measure(cache, options)
    report.write(options.json, found | dict(further), results)
    print(f"written to {options.json}")
    print(report.summary(results))


def _read(text: str | None, name: str) -> Options:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repeats of the same cases")
    parser.add_argument("--threads", type=int, default=1, help="for everybody (default 1)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name holds this")
    parser.add_argument("--json", type=Path, default=report.RESULTS / f"{name}.json", help="the file to write")
    given = parser.parse_args()
    effort = replace(QUICK if given.quick else THOROUGH, pause_s=SPINNING_S if given.threads > 1 else 0.0)
    return Options(effort, given.threads, given.only, given.json)
