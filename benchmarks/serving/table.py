"""Formats results: a line for each contestant of each case, and a JSON file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.serving.bars import Bar
from benchmarks.serving.rounds import Series

LEGEND = """\
rate/s   answers a second; p50, p99: milliseconds of an answer, in an open loop from when the request was due
ratio    Cellar's rate over this one's, the median over the rounds, and the interval of a sign test at 95%
service  how much of its core the contestant used; outside: how much of the other core load and Redis used
stolen   share of both cores that the host of the machine withheld during the sample"""

_HEAD = f"{'case':<28}{'contestant':<18}{'rate/s':>9}{'p50 ms':>9}{'p99 ms':>9}  {'ratio [interval]':<22}{'service':>8}"


def header() -> str:
    """Return the line above the table."""
    return f"{_HEAD}{'outside':>9}{'stolen':>8}"


def lines(series: Sequence[Series]) -> list[str]:
    """Return the lines of a case; the other series are compared with the first one."""
    return [_line(each, series[0]) for each in series]


def write(path: Path, facts: Mapping[str, Any], series: Sequence[Series], bars: Sequence[Bar]) -> None:
    """Write a JSON file with the facts of the machine and the run, the cases and the bars."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        **facts,
        "bars": [asdict(bar) | {"met": bar.met} for bar in bars],
        "cases": [_figures(each) for each in series],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _line(each: Series, first: Series) -> str:
    ratio = ""
    if each is not first:
        found = first.faster_than(each)
        ratio = f"{found.median:8.2f} [{found.low:.2f} {found.high:.2f}]"
    service = median(sample.service for sample in each.samples)
    outside = median(sample.redis + sample.load for sample in each.samples)
    stolen = median(sample.stolen for sample in each.samples)
    p50, p99 = (median(each.percentiles_s(percent)) * 1e3 for percent in (50, 99))
    return (
        f"{each.case:<28}{each.contestant:<18}{each.rate:>9.0f}{p50:>9.3f}{p99:>9.3f}  {ratio:<22}"
        f"{service:>8.0%}{outside:>9.0%}{stolen:>8.1%}"
    )


def _figures(each: Series) -> dict[str, Any]:
    return {
        "case": each.case,
        "contestant": each.contestant,
        "rates": each.rates,
        "p50_s": each.percentiles_s(50),
        "p99_s": each.percentiles_s(99),
        "service_cpu": [sample.service for sample in each.samples],
        "redis_cpu": [sample.redis for sample in each.samples],
        "load_cpu": [sample.load for sample in each.samples],
        "others_cpu": [sample.others for sample in each.samples],
        "stolen_cpu": [sample.stolen for sample in each.samples],
    }
