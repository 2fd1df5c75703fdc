"""A job with several processes, one of which is killed: the weights are those of one process."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cellar.errors import CellarError
from cellar.jobs.attempt import runner
from cellar.jobs.attempt.helpers import Helpers
from cellar.jobs.options import JobOptions
from cellar.nn.training.checkpoints.progress import Progress
from cellar.nn.training.trainer import fit
from tests.jobs.conftest import LEASE_S, TRAINING, Workshop, walks


def train(workshop: Workshop, processes: int, most: int, kills: int = 0) -> str:
    """Run a job with several processes, one of which is killed after each of the first updates; return its weights."""

    def fit_with_kills(*arguments: Any, team: Any = None, **settings: Any) -> Iterator[Progress]:
        for number, progress in enumerate(fit(*arguments, team=team, **settings)):
            if 0 < number <= kills:
                assert isinstance(team, Helpers)
                os.kill(team.running[1].pid, signal.SIGKILL)
            yield progress

    options = JobOptions(processes=processes)
    job = workshop.jobs.submit("default", "walk@1", walks(), TRAINING, publish="always", options=options).job
    room = workshop.room
    settings: dict[str, Any] = {"lease_s": LEASE_S, "fit": fit_with_kills, "processes": most}
    runner.run("default", job.job, jobs=room.store, blobs=room.blobs, prepare=lambda: workshop.registry, **settings)
    ended = room.store.get("default", job.job)
    assert (ended.state, ended.error) == ("succeeded", None)
    assert ended.result is not None
    return workshop.registry.get("default", ended.result).digest


def test_the_weights_are_those_of_one_process_also_if_another_is_killed(
    workshop: Workshop, redis_url: str, kernel_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("REDIS_URL", redis_url), ("KEY_PREFIX", workshop.room.prefix), ("JOB_NICE", "0")):
        monkeypatch.setenv(f"CELLAR_{name}", value)
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(kernel_directory))
    alone = train(workshop, 8, most=1)
    assert train(workshop, 2, most=2, kills=2) == alone
    undivided = workshop.run(workshop.submit(publish="always"))
    assert undivided.result is not None
    assert workshop.registry.get("default", undivided.result).digest != alone, "batches are not divided without it"


def test_a_process_that_dies_again_and_again_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellar.jobs.attempt.helpers.COMMAND", "raise SystemExit(3)")
    with Helpers("tenant", "job", 3) as team:
        team.memory(4096)
        team.begin(0, 0)
        with pytest.raises(CellarError, match="status 3"):
            team.finish()
