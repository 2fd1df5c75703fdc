"""A sweep on two hosts with one Redis, of which one is killed: ranking and weights are those of one worker."""

import math
import uuid
from pathlib import Path
from typing import Any

import pytest

from cellar_client import Client
from tests.e2e.replica import Replica, alive, environment, serving
from tests.waiting import wait_until

GIVE_UP_S = 100.0
"""Kernels may have to be compiled, beside other tests."""

PARAMETERS = {"optimiser.learning_rate": [0.01, 0.003], "seed": [1, 2]}


def sweep(client: Client, model: str, **settings: Any) -> Any:
    """Begin a sweep on the dataset `hours`."""
    settings = {"epochs": 15, "batch_size": 8, "window": 16} | settings
    return client.sweep_dataset(model, "hours", PARAMETERS, targets=["temp"], publish="always", **settings)


def result(client: Client, ended: Any) -> tuple[list[Any], dict[str, bytes]]:
    """Return the ranking of a sweep, and the bits of the weights that it has published."""
    version = ended.wait()
    ranking = [(trial["trial"], trial["parameters"], trial["value"]) for trial in ended.document["trials"]]
    weights = client.models.weights(version)
    return ranking, {name: array.tobytes() for name, array in weights.items()}


def carries_out(replica: Replica) -> bool:
    """Return whether the worker of a replica has a process for a job."""
    worker = replica.child("worker")
    return bool(worker and Path(f"/proc/{worker}/task/{worker}/children").read_text().split())


@pytest.mark.timeout(400)
def test_the_ranking_and_the_bits_are_those_of_one_worker_that_was_not_killed(
    redis_url: str, kernel_directory: Path, tmp_path: Path
) -> None:
    shared = {"redis_url": redis_url, "key_prefix": f"test-{uuid.uuid4().hex}", "cache_dir": str(kernel_directory)}
    one, two = (environment(**shared, data_dir=str(tmp_path / name), workers="1") for name in ("one", "two"))
    file = tmp_path / "hours.csv"
    file.write_text("\n".join(["temp", *(f"{20 + 5 * math.sin(hour / 3.8):.2f}" for hour in range(160))]) + "\n")
    with serving(one) as first, Client(first.url, give_up_s=GIVE_UP_S) as client:
        client.datasets.add("hours", file)
        right = result(client, sweep(client, "alone"))
        assert right[0] == sorted(right[0], key=lambda trial: trial[2])
        with serving(two) as second:
            begun = sweep(client, "killed", max_parallel=4)
            wait_until(lambda: carries_out(first) and carries_out(second), GIVE_UP_S, "both workers run a trial")
            worker = second.child("worker")
            second.kill()
            second.process.wait(30)
        assert begun.refresh()["state"] == "running"
        assert result(client, begun) == right
        wait_until(lambda: not alive(worker), 30, "the end of the killed worker")
        assert {trial["state"] for trial in begun.document["trials"]} == {"succeeded"}
