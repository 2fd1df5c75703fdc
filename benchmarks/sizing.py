"""Computes what a fleet needs from the figures of `make bench-service`, and writes them to docs/sizing.md.

python -m benchmarks.sizing [FILE]
"""

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "sizing.md"

WAYS: Mapping[str, tuple[str, str, int]] = {
    "HTTP, JSON": ("step json, 32 clients", "cellar everysec", 1),
    "WebSocket, one after the other": ("websocket, 32 clients", "cellar everysec", 1),
    "WebSocket, 32 in flight": ("websocket, 32 clients", "cellar, 32", 1),
    "WebSocket, frames of 32 steps": ("websocket, 32 clients", "cellar frames, 32", 1),
    "bulk, binary, 1,024 sessions": ("1,024 sessions, binary", "cellar everysec", 1024),
    "sequences of 1,000 steps, npy": ("sequences of 1000, H 32", "cellar npy", 1000),
}
"""For each way to send steps: the case and contestant of the benchmark, and the steps of one of its answers."""

BUSY = 0.7
"""The share of a core that is planned for: beyond it, waiting times grow quickly."""

ENTRIES = 32
"""Entries of the ring of a session: the replay window."""

FLEETS = ((10_000, 10), (100_000, 10), (100_000, 1), (1_000_000, 60))
"""The examples of the page: devices, and the seconds between the steps of one."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The processor time of a step, in microseconds."""

    api_us: float
    redis_us: float


@dataclass(frozen=True, slots=True)
class Constants:
    """The figures that sizes follow from: the cost of a step for each way to send it, and the memory of a session."""

    steps: Mapping[str, Cost]
    session_bytes: int
    """Of a session in Redis that has made no step, with 512 bytes of state."""
    ring_bytes: int
    """Bytes that the answers to its last 32 requests add, with 256 bytes of output each."""


def constants_of(document: Mapping[str, Any]) -> Constants:
    """Return the constants in the file of `make bench-service`."""
    cases = {(case["case"], case["contestant"]): case for case in document["cases"]}
    bars = {bar["name"]: bar["value"] for bar in document["bars"]}
    steps = {
        way: Cost(*(_us(cases[case, contestant], core, each) for core in ("service_cpu", "redis_cpu")))
        for way, (case, contestant, each) in WAYS.items()
    }
    empty, full = bars["session_memory_bytes"], bars["session_memory_full_ring_bytes"]
    return Constants(steps, round(empty), round(full - empty))


def _us(case: Mapping[str, Any], core: str, steps: int) -> float:
    """Return the processor time of a step: the share of a core over the rate."""
    seconds = [cpu / rate for cpu, rate in zip(case[core], case["rates"], strict=True)]
    return float(round(1e6 * median(seconds) / steps, 1))


def cores(constants: Constants, way: str, rate: float) -> tuple[float, float]:
    """Return how many cores the api and Redis need for this many steps a second."""
    cost = constants.steps[way]
    return rate * cost.api_us / 1e6 / BUSY, rate * cost.redis_us / 1e6 / BUSY


def memory_gb(constants: Constants, sessions: int) -> float:
    """Return the memory of a number of sessions in Redis whose rings are full, in gigabytes."""
    return sessions * (constants.session_bytes + constants.ring_bytes) / 1e9


def constant_lines(constants: Constants) -> list[str]:
    """Return the table of the constants."""
    rows = [f"| {way} | {cost.api_us} us | {cost.redis_us} us |" for way, cost in constants.steps.items()]
    return [
        "| a step over | api | Redis |",
        "|---|---|---|",
        *rows,
        "",
        "| a session in Redis | bytes |",
        "|---|---|",
        f"| without steps, 512 of them state | {constants.session_bytes} |",
        f"| the answers to its last {ENTRIES} requests, of 256 bytes each, in addition | {constants.ring_bytes} |",
    ]


def fleet_lines(constants: Constants) -> list[str]:
    """Return the table of the examples."""
    found = ["| devices | a step every | steps a second | api | Redis | memory of Redis |", "|---|---|---|---|---|---|"]
    for devices, seconds in FLEETS:
        rate = devices / seconds
        api, redis = cores(constants, "HTTP, JSON", rate)
        memory = memory_gb(constants, devices)
        found.append(
            f"| {devices:,} | {seconds} s | {rate:,.0f} | {api:.2f} cores | {redis:.2f} cores | {memory:.1f} GB |"
        )
    return found


def read_page(text: str) -> Constants:
    """Return the constants that the page shows."""
    steps = {
        way: Cost(float(api), float(redis))
        for way, api, redis in re.findall(r"^\| (.*) \| ([\d.]+) us \| ([\d.]+) us \|$", text, re.MULTILINE)
    }
    session, ring = re.findall(r"^\| .* \| (\d+) \|$", text, re.MULTILINE)
    return Constants(steps, int(session), int(ring))


def filled(text: str, constants: Constants) -> str:
    """Return the page with the tables of these constants."""
    for heading, lines in (("constants", constant_lines(constants)), ("fleets", fleet_lines(constants))):
        begin, end = f"<!-- {heading}: python -m benchmarks.sizing -->\n", f"\n<!-- end of {heading} -->"
        first, rest = text.split(begin)
        text = "\n".join([first + begin, *lines, end + rest.split(end)[1]])
    return text


def main() -> None:
    """Write the page, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path, nargs="?", default=RESULTS / "service.json")
    constants = constants_of(json.loads(options.parse_args().file.read_text()))
    PAGE.write_text(filled(PAGE.read_text(), constants))
    print("\n".join([*constant_lines(constants), "", *fleet_lines(constants)]))


if __name__ == "__main__":
    main()
