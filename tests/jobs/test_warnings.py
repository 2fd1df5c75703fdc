"""Warnings: of runs that are too short, and of results that are of no use."""

from typing import Any

import pytest

from cellar.jobs.warnings import warnings_of
from cellar.ports import Job

SOUND = {"data": "training", "loss": 0.5, "before": 1.0, "last_value": 0.6}


def job(updates: int | None = 100, evaluation: dict[str, Any] | None = None) -> Job:
    """Return a job as stored."""
    spec = {"model": "co2@1"} if updates is None else {"model": "co2@1", "updates_total": updates}
    progress = {} if evaluation is None else {"evaluation": evaluation}
    return Job("default", "j", "running", spec, 0.0, progress=progress)


@pytest.mark.parametrize("silent", [job(), job(None), job(100, SOUND), job(100, SOUND | {"last_value": None})])
def test_what_is_well_is_not_warned_of(silent: Job) -> None:
    assert warnings_of(silent) == []


def test_each_warning_has_its_reason() -> None:
    (few,) = warnings_of(job(99))
    assert "99 updates of" in few
    assert "one update of" in warnings_of(job(1))[0]
    (worse,) = warnings_of(job(100, SOUND | {"loss": 1.1, "last_value": None}))
    assert "higher than that of the version" in worse
    (beaten,) = warnings_of(job(100, SOUND | {"last_value": 0.5}))
    assert "repeating the last value" in beaten
    assert len(warnings_of(job(1, SOUND | {"loss": None}))) == 3
