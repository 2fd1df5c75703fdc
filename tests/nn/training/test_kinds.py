"""Every loss, optimiser and schedule trains a small network."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from cellar.engine import KernelCache
from cellar.nn.spec.kinds import types_of
from cellar.nn.training.losses import LOSSES, LossSpec
from cellar.nn.training.optimisers import OPTIMISERS
from cellar.nn.training.schedules import SCHEDULES
from tests.nn.golden.cases import dense, recurrent
from tests.nn.training.small import losses

REQUIRED: dict[str, dict[str, Any]] = {
    "step": {"every": 3},
    "exponential": {"factor": 0.9},
    "several": {"parts": [{"outputs": 1, "loss": "mse"}, {"outputs": 1, "loss": "binary_cross_entropy", "weight": 2}]},
}
"""The settings without a default."""


@pytest.mark.parametrize("loss", [name for kind in LOSSES for name in types_of(kind)])
def test_a_loss_falls(loss: str, cache: KernelCache) -> None:
    spec = {"type": loss, **REQUIRED.get(loss, {})}
    each = TypeAdapter[Any](LossSpec).validate_python(spec).outputs_per_target
    network = (recurrent("gru", 4), dense(2 * each))
    found = losses(cache, network, loss=spec, optimiser={"type": "adam", "learning_rate": 0.02})
    assert found[-1] < 0.9 * found[0]


@pytest.mark.parametrize("optimiser", [name for kind in OPTIMISERS for name in types_of(kind)])
def test_an_optimiser_lowers_the_loss(optimiser: str, cache: KernelCache) -> None:
    found = losses(cache, optimiser={"type": optimiser, **REQUIRED.get(optimiser, {})})
    assert found[-1] < found[0]


@pytest.mark.parametrize("schedule", [name for kind in SCHEDULES for name in types_of(kind)])
def test_a_schedule_lowers_the_loss(schedule: str, cache: KernelCache) -> None:
    settings = {"type": schedule, **REQUIRED.get(schedule, {})}
    found = losses(cache, optimiser={"type": "adam", "schedule": settings})
    assert found[-1] < found[0]
