"""The memory of jobs: what is said before a job runs is what its process takes at most."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellar.errors import JobTooLarge
from cellar.jobs.submission.submission import Jobs
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.ports import Job
from tests.jobs.conftest import TRAINING, Clock, Workshop, walks

MEBIBYTE = 1024 * 1024

RUN = """
import sys
from pathlib import Path
from cellar.main import run_job
run_job("default", sys.argv[1])
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""
"""Runs a job, and prints the most memory that the process had, kibibytes."""


def network(in_size: int, *layers: dict[str, Any]) -> NetworkSpec:
    """Return a network."""
    return NetworkSpec.model_validate({"in_size": in_size, "layers": list(layers)})


def recurrent(cell: str, size: int) -> dict[str, Any]:
    """Return a recurrent layer."""
    return {"type": "recurrent", "cell": cell, "hidden_size": size}


def data(steps: int, rows: int, inputs: int, outputs: int) -> Dataset:
    """Return random data."""
    rng = np.random.default_rng(0)
    given, targets = (rng.normal(size=(steps, rows, size)).astype(np.float32) for size in (inputs, outputs))
    return Dataset(given, targets)


WIDE = network(8, {"type": "dense", "out_size": 1024}, {"type": "dense", "out_size": 1024}, recurrent("rnn", 4))
CASES: dict[str, tuple[NetworkSpec, Dataset, dict[str, Any]]] = {
    "small": (network(1, recurrent("gru", 4), {"type": "dense", "out_size": 1}), walks(), {}),
    "long windows": (network(8, recurrent("lstm", 64)), data(1500, 32, 8, 64), {}),
    "whole window": (network(8, recurrent("lstm", 32)), data(1000, 32, 8, 32), {"batch_size": 16}),
    "independent windows": (
        network(4, recurrent("gru", 32), {"type": "dropout", "rate": 0.2}, {"type": "dense", "out_size": 2}),
        data(4000, 16, 4, 2),
        {"window": 300, "skip": 20, "batch_size": 64, "validation": 0.2},
    ),
    "carried": (
        network(4, recurrent("lstm", 32), {"type": "dense", "out_size": 2}),
        data(6000, 40, 4, 2),
        {"state": "carry", "window": 700, "recompute": 150},
    ),
    "many weights": (WIDE, data(50, 4, 8, 4), {"early_stopping": {"patience": 1}}),
    "whole sequences": (
        network(4, {"type": "bidirectional", "layer": recurrent("gru", 24)}, {"type": "dense", "out_size": 1}),
        data(500, 64, 4, 1),
        {},
    ),
}


def submit(workshop: Workshop, name: str, **options: Any) -> Job:
    """Submit the job of a case."""
    spec, dataset, fields = CASES[name]
    workshop.registry.create("default", "model", spec, seed=1)
    room = workshop.room
    jobs = Jobs(room.store, room.blobs, workshop.registry, room.job_queue, Clock(), **options)
    training = TrainingSpec.model_validate({"epochs": 2, **fields})
    return jobs.submit("default", "model", dataset, training, publish="always").job


def run_apart(workshop: Workshop, redis_url: str, kernel_directory: Path, job: Job) -> int:
    """Run a job in a process of its own; return the most memory that it had, bytes."""
    environment = {
        "CELLAR_REDIS_URL": redis_url,
        "CELLAR_KEY_PREFIX": workshop.room.prefix,
        "CELLAR_CACHE_DIR": str(kernel_directory),
    }
    ran = subprocess.run(
        [sys.executable, "-c", RUN, job.job], env=environment, capture_output=True, text=True, check=True
    )
    found = workshop.room.store.get("default", job.job)
    assert found.state == "succeeded", (found.error, ran.stderr)
    return 1024 * int(ran.stdout)


@pytest.mark.parametrize("name", CASES)
def test_a_job_takes_no_more_memory_than_it_says(
    name: str, workshop: Workshop, redis_url: str, kernel_directory: Path
) -> None:
    job = submit(workshop, name)
    said = job.spec["memory_bytes"]
    peak = run_apart(workshop, redis_url, kernel_directory, job)
    assert peak <= said <= 2 * peak + 100 * MEBIBYTE


def test_a_small_limit_divides_windows_and_changes_no_bit(
    workshop: Workshop, redis_url: str, kernel_directory: Path
) -> None:
    large = submit(workshop, "whole window")
    most_bytes = large.spec["memory_bytes"] - 30 * MEBIBYTE
    small = submit(workshop, "whole window", most_bytes=most_bytes)
    assert small.spec["window_bytes"] < 256 * MEBIBYTE
    assert run_apart(workshop, redis_url, kernel_directory, small) <= small.spec["memory_bytes"] <= most_bytes
    run_apart(workshop, redis_url, kernel_directory, large)
    first, second = (workshop.registry.get("default", f"model@{number}").weights for number in (2, 3))
    assert first == second


def test_a_job_that_needs_too_much_is_refused(workshop: Workshop) -> None:
    room = workshop.room
    jobs = Jobs(room.store, room.blobs, workshop.registry, room.job_queue, Clock(), most_bytes=MEBIBYTE)
    with pytest.raises(JobTooLarge, match="CELLAR_JOB_MEMORY_BYTES") as caught:
        jobs.submit("default", "walk", walks(), TRAINING)
    assert caught.value.pointer == "/batch_size"
    assert jobs.list("default") == ([], "")
