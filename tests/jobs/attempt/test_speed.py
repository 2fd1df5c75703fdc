"""The speed of a run is that between its reports, and the time that is left follows from it."""

from dataclasses import replace

from cellar.jobs.attempt.speed import Speedometer
from tests.jobs.attempt.test_checkpoint import Clock, progress


def test_rates_and_the_time_that_is_left() -> None:
    clock = Clock()
    speed = Speedometer(clock)
    speed.steps_per_epoch = 80
    first = progress(b"", 1)  # 5 of 36 updates, 4 in an epoch
    unknown = {"elapsed_s": 0.0, "updates_per_s": None, "steps_per_s": None, "time_left_s": None}
    assert speed.members(first) == unknown
    assert speed.members(first) == unknown
    clock.now_s += 2
    found = speed.members(replace(first, epoch=3))
    assert found == {"elapsed_s": 2.0, "updates_per_s": 2.0, "steps_per_s": 40.0, "time_left_s": 13.5}
    clock.now_s += 1
    assert speed.members(replace(first, epoch=4))["updates_per_s"] == 3.0, "half of the newest rate"
    assert speed.members(replace(first, epoch=5, finished=True))["time_left_s"] == 0
