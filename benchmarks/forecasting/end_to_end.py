"""Measures the way from a file of 20,000 rows and 5 columns to a published version, beside a script in PyTorch.

`cellar train` uploads the file to a running service, and ends when the version is published. `cellar train --local`
does all of that in its own process, with a Redis that it starts and stops. The script reads the same file, trains an
LSTM of the same size with as many updates as the job made, and writes its weights. It has one thread, as a job has:
with two it is many times slower as soon as another program runs. All times include the start of the process; another
row adds the start of the service. Rounds are interleaved.
"""

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from benchmarks.serving.bars import Bar
from cellar.demo.service import Service
from cellar.settings import Settings

ROWS = 20_000
TARGET, HORIZON = "temp", 24
FASTER, FIRST_PROGRESS_S = 1.5, 1.0
"""The bars."""

ENDED = "succeeded", "failed", "cancelled"
PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a round, seconds."""

    start: float
    """Until the service is ready."""
    cellar: float
    local: float
    """Of `cellar train --local`, without a service."""
    first_progress: float
    """From the acceptance of a job until it reports progress."""
    pytorch: float
    updates: int

    @property
    def ratio(self) -> float:
        """The time of PyTorch divided by that of Cellar."""
        return self.pytorch / self.cellar

    @property
    def ratio_local(self) -> float:
        """The same for `cellar train --local`."""
        return self.pytorch / self.local

    @property
    def ratio_with_start(self) -> float:
        """The same with the start of the service."""
        return self.pytorch / (self.start + self.cellar)


def measure(rounds: int) -> list[Times]:
    """Return the times of each round, after one that is not counted: it compiles kernels and fills caches of files."""
    os.environ.setdefault("CELLAR_JOB_NICE", "0")  # the script in PyTorch yields to no other program either
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode, as PyTorch has
    found = []
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "readings.csv"
            write(path)
            found.append(_round(path, Path(directory), number))
    return found[1:]


def write(path: Path) -> None:
    """Write hourly readings of four columns, the first with a day, a season and gaps, and their times."""
    draw, drift = random.Random(0), 0.0
    with path.open("w") as file:
        file.write(f"at,{TARGET},load,wind,humidity\n")
        for hour in range(ROWS):
            drift = 0.95 * drift + draw.gauss(0, 0.5)
            load, wind = 3 + math.sin(hour * math.pi / 84) + draw.gauss(0, 0.2), abs(draw.gauss(4, 2))
            temp = 15 + 5 * math.sin(hour * math.pi / 12) + 8 * math.sin(hour * math.pi / 4380) + drift + load
            at = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(1_577_836_800 + 3600 * hour))
            cell = "" if hour % 97 == 5 else f"{temp:.3f}"
            file.write(f"{at},{cell},{load:.3f},{wind:.3f},{60 + 3 * drift:.3f}\n")


def lines(times: Sequence[Times]) -> list[str]:
    """Return a table with the medians of all rounds."""
    start, ours, local, first, peer = (
        median(values)
        for values in zip(
            *((each.start, each.cellar, each.local, each.first_progress, each.pytorch) for each in times), strict=True
        )
    )
    return [
        f"| {ROWS:,} rows, 5 columns, {times[0].updates} updates | seconds |",
        "|---|---|",
        f"| file to published version, `cellar train` | {ours:.2f} |",
        f"| the same, with the start of the service | {start + ours:.2f} |",
        f"| the same without a service, `cellar train --local` | {local:.2f} |",
        f"| file to weights, script in PyTorch | {peer:.2f} |",
        f"| accepted to first progress | {first:.2f} |",
        f"with the start of the service the ratio is {median(each.ratio_with_start for each in times):.2f}",
    ]


def bars(times: Sequence[Times]) -> list[Bar]:
    """Return the bars: medians of the rounds."""
    first = median(each.first_progress for each in times)
    return [
        Bar("end_to_end", median(each.ratio for each in times), FASTER, means="PyTorch's time divided by Cellar's"),
        Bar("end_to_end_local", median(each.ratio_local for each in times), FASTER, means="without a service"),
        Bar("first_progress_s", first, FIRST_PROGRESS_S, at_most=True, means="accepted to first progress"),
    ]


def _round(path: Path, directory: Path, number: int) -> Times:
    settings = Settings.load().model_copy(update={"data_dir": directory / "data", "port": 0})
    began = time.perf_counter()
    with Service(settings) as service:
        start = time.perf_counter() - began
        environment = os.environ | {"CELLAR_URL": service.url}
        command = [sys.executable, "-m", "cellar.cli", "train", str(path), "--target", TARGET]
        command += ["--horizon", str(HORIZON), "--model", f"made{number}", "--json"]
        cellar, out = _run(command, environment)
        job = json.loads(out)
        updates = round(job["updates_total"] * job["progress"]["epoch"] / job["progress"]["epochs"])
        first_progress = _first_progress(service.url)
    local, _ = _run([*command, "--local"], os.environ | {"CELLAR_DATA_DIR": str(directory / "local")})
    module = [sys.executable, "-m", "benchmarks.peers.pytorch_forecasting", str(path), "--target", TARGET]
    options = ["--horizon", str(HORIZON), "--time", "at", "--updates", str(updates)]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    pytorch, _ = _run([*module, *options, "--out", str(directory / "model.pt")], one_thread)
    return Times(start, cellar, local, first_progress, pytorch, updates)


def _run(command: Sequence[str], environment: dict[str, str]) -> tuple[float, str]:
    """Return the time of a command from its start to its end, and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, done.stdout


def _first_progress(url: str) -> float:
    """Return the time from the answer to a submission until the job reports progress."""
    with httpx.Client(base_url=url, timeout=60) as http:
        (dataset,) = http.get("/v1/datasets").raise_for_status().json()["datasets"]
        data = {"dataset": dataset["dataset"], "targets": [TARGET], "horizon": HORIZON}
        job = http.post("/v1/jobs", json={"model": "again", "data": data}).raise_for_status().json()
        began = time.perf_counter()
        while not (job := http.get(f"/v1/jobs/{job['job']}").raise_for_status().json())["progress"]:
            if job["state"] in ENDED:
                raise SystemExit(f"the job {job['state']} without progress: {job['error']}")
            time.sleep(PAUSE_S)
        took = time.perf_counter() - began
        http.post(f"/v1/jobs/{job['job']}/cancel")
    return took
