"""Rates and quantiles over the last minute."""

import pytest

from cellar.metrics.counts import SECONDS
from cellar.metrics.snapshot import Series
from cellar.metrics.window import WINDOW_S, Window

STEPS, LATENCY = "cellar_model_steps_total", "cellar_step_seconds"
MODEL = ("acme", "co2")


def counted(steps: float, buckets: dict[float, int]) -> Series:
    """Return the counters of a process after a number of steps, and a histogram with these counts by upper bound."""
    counts = [float(buckets.get(bound, 0)) for bound in (*SECONDS, float("inf"))]
    return {STEPS: {MODEL: steps}, LATENCY: {(): (0.0, *counts)}}


def test_nothing_has_changed_before_the_first_record() -> None:
    change = Window().since(5.0, counted(100, {0.01: 3}))
    assert (change.seconds, change.rate(STEPS, MODEL)) == (0, 0)
    assert change.quantiles(LATENCY, (0.5,)) is None


def test_rates_cover_the_last_minute() -> None:
    window = Window()
    for second in range(0, 200, 5):
        window.add(second, counted(10 * second, {}))
    change = window.since(199.0, counted(2990, {}))
    assert change.seconds == pytest.approx(WINDOW_S + 4)
    assert change.rate(STEPS, MODEL) == pytest.approx((2990 - 1350) / 64)
    assert change.rate(STEPS, ("acme", "unknown")) == 0


def test_quantiles_are_those_of_what_was_counted_since() -> None:
    window = Window()
    window.add(0.0, counted(0, {10.0: 1000}))
    change = window.since(60.0, counted(0, {10.0: 1000, 0.01: 50, 0.025: 50}))
    assert change.quantiles(LATENCY, (0.25, 0.5, 0.75, 1.0)) == pytest.approx([0.0075, 0.01, 0.0175, 0.025])
    slow = window.since(60.0, counted(0, {10.0: 1000, float("inf"): 5}))
    assert slow.quantiles(LATENCY, (0.5,)) == [10.0]
