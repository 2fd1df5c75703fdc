"""Measures how the cost of a step or request grows with the fleet: `make bench-scale`.

Each row is measured beside the same load at the smallest size, in interleaved rounds on one service that has a core
of its own; Redis and the load have the other core. Figures are CPU time of the service, from schedstat. The rows of a
quick run share a service, whose sessions and models are few; otherwise each row has one of its own.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.facts import described, machine_facts
from benchmarks.report import RESULTS
from benchmarks.scaling import (
    aof,
    bodies,
    cores,
    expiry,
    idempotency,
    jobs,
    keys,
    listing,
    metrics,
    models,
    processes,
    requests,
    sessions,
    shadows,
    training,
)
from benchmarks.scaling.scene import QUICK, THOROUGH, Row, Scene, set_up
from benchmarks.serving.cores import choose

ROWS: Mapping[str, Callable[[Scene], Row]] = {
    "aof": aof.measure,
    "idempotency": idempotency.measure,
    "expiry": expiry.measure,
    "models": models.measure,
    "cores": cores.measure,
    "sessions": sessions.measure,
    "requests": requests.measure,
    "keys": keys.measure,
    "metrics": metrics.measure,
    "listing": listing.measure,
    "processes": processes.measure,
    "bodies": bodies.measure,
    "shadows": shadows.measure,
    "training": training.measure,
    "job_beside_serving": jobs.measure,
}


def main() -> None:
    """Measure the rows, print their lines and bars, and write the file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small sizes and few rounds")
    options.add_argument("--only", default="", help="rows whose name contains this")
    options.add_argument("--data", type=Path, help="directory for the files of Redis")
    options.add_argument("--json", type=Path, default=RESULTS / "scale.json")
    asked = options.parse_args()
    facts = machine_facts(("redis", "uvicorn"))
    print(described(facts))
    found: list[Row] = []
    rows = [row for name, row in ROWS.items() if asked.only in name]
    for together in [rows] if asked.quick else [[row] for row in rows]:
        with set_up(choose(), QUICK if asked.quick else THOROUGH, asked.data) as scene:
            for row in together:
                found.append(row(scene))
                print("\n".join(found[-1].lines), flush=True)
    bars = [bar for row in found for bar in row.bars]
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    document = {**facts, "bars": [asdict(bar) | {"met": bar.met} for bar in bars]}
    asked.json.write_text(json.dumps(document, indent=1) + "\n")
    for bar in bars:
        print(bar.line())


if __name__ == "__main__":
    main()
