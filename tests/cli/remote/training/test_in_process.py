"""`cellar train --local` does without a service what a service does."""

import json
import math
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from cellar.cli.commands import MISTAKE, main
from cellar.store.catalogue.jobs import RedisJobs
from cellar.store.topology.factory import sync_client
from tests.waiting import wait_until

COMMAND = ("train", "--target", "temp", "--horizon", "2", "--local")
HOURS = 300


@pytest.fixture
def prefix(redis_url: str, kernel_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the settings of an installation of its own, and return its key prefix."""
    prefix = f"test-{uuid.uuid4().hex}"
    monkeypatch.setenv("CELLAR_REDIS_URL", redis_url)
    monkeypatch.setenv("CELLAR_KEY_PREFIX", prefix)
    monkeypatch.setenv("CELLAR_CACHE_DIR", str(kernel_directory))
    monkeypatch.setenv("CELLAR_DATA_DIR", str(tmp_path / "data"))
    return prefix


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of hourly readings."""
    rows = [f"2026-01-{1 + at // 24:02} {at % 24:02}:00,{15 + math.sin(at * math.pi / 12):.3f}" for at in range(HOURS)]
    path = tmp_path / "hall.csv"
    path.write_text("\n".join(["at,temp", *rows]))
    return path


@pytest.mark.usefixtures("prefix")
def test_a_file_becomes_a_version_that_is_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fast = "--set", "epochs=1", "--publish", "always", "--json"
    assert main([*COMMAND, str(file), *fast]) == 0
    job = json.loads(capsys.readouterr().out)
    assert (job["state"], job["result"], job["evaluation"]["period"]) == ("succeeded", "hall@1", 24)

    again = main([*COMMAND, job["data"]["dataset"], "--model", "hall", *fast])  # the dataset and the version are kept
    assert (again, json.loads(capsys.readouterr().out)["result"]) == (0, "hall@2")

    assert main([*COMMAND, str(file), "--set", "epochs=none"]) == MISTAKE
    assert "pointer: /epochs" in capsys.readouterr().err
    assert main([*COMMAND, str(file), "--no-wait"]) == MISTAKE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_job_is_given_back(redis_url: str, prefix: str, file: Path, number: signal.Signals) -> None:
    command = ["env", "--default-signal=INT", sys.executable]  # in the background of a shell, it would be ignored
    command += ["-m", "cellar.cli", *COMMAND, str(file), "--set", "epochs=100000"]
    jobs = RedisJobs(sync_client(redis_url), prefix, 1.0)
    with subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: any(job.progress for job in jobs.list("default", 10)[0]) or None, within_s=60)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()

    [job] = jobs.list("default", 10)[0]
    assert (job.state, job.checkpoint is not None) == ("queued", True)
    assert process.returncode == (MISTAKE if number == signal.SIGINT else 128 + number)
    assert ("is given back" in said) == (number == signal.SIGINT)
