"""Learning rates over epochs."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from cellar.nn.training.schedules import ScheduleSpec


def rates(spec: Any, base: float, epochs: int) -> list[float]:
    """Return the rate of every epoch."""
    schedule = TypeAdapter[ScheduleSpec](ScheduleSpec).validate_python(spec)
    return [schedule.rate(base, epoch, epochs) for epoch in range(epochs)]


def test_constant() -> None:
    assert rates("constant", 0.1, 3) == [0.1, 0.1, 0.1]


def test_step() -> None:
    assert rates({"type": "step", "every": 2, "factor": 0.5}, 8.0, 6) == [8, 8, 4, 4, 2, 2]


def test_exponential() -> None:
    assert rates({"type": "exponential", "factor": 0.5}, 8.0, 4) == [8, 4, 2, 1]


def test_cosine_begins_at_the_rate_and_would_end_at_the_minimum() -> None:
    found = rates({"type": "cosine", "minimum": 0.1}, 0.5, 4)
    assert found == pytest.approx([0.1 + 0.2 * (1 + math.cos(math.pi * e / 4)) for e in range(4)], rel=1e-14)
    assert found[0] == 0.5


@given(st.integers(1, 10**6), st.data())
def test_cosine_agrees_with_the_library(epochs: int, data: st.DataObject) -> None:
    epoch = data.draw(st.integers(0, epochs - 1))
    schedule = TypeAdapter[ScheduleSpec](ScheduleSpec).validate_python("cosine")
    expected = 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    assert schedule.rate(1.0, epoch, epochs) == pytest.approx(expected, abs=1e-15)


@given(st.floats(0.5, 1), st.integers(0, 10_000))
def test_exponential_agrees_with_the_library(factor: float, epoch: int) -> None:
    schedule = TypeAdapter[ScheduleSpec](ScheduleSpec).validate_python({"type": "exponential", "factor": factor})
    assert schedule.rate(1.0, epoch, epoch + 1) == pytest.approx(factor**epoch, rel=1e-11)
