"""The last value as a forecast: where it applies is found in the data."""

from typing import Any

import numpy as np
import pytest

from cellar.nn.training.data.alignment import split
from cellar.nn.training.data.batches import Plan
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.data.last_value import carried_features, forecast
from cellar.nn.training.spec import TrainingSpec

Array = np.ndarray[Any, np.dtype[np.float32]]


def noise(*shape: int) -> Array:
    """Return numbers that do not repeat."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def plan(inputs: Array, targets: Array, **fields: Any) -> Plan:
    """Return the plan of training."""
    spec = TrainingSpec.model_validate(fields)
    return split(Dataset(inputs, targets), targets.shape[2], inputs.shape[2], spec)[0]


@pytest.mark.parametrize("ahead", [1, 2, 7])
@pytest.mark.parametrize("fields", [{}, {"warmup": 3, "skip": 1}, {"validation": 0.25, "state": "carry", "window": 4}])
def test_targets_that_are_later_inputs_are_recognised(ahead: int, fields: dict[str, Any]) -> None:
    series = noise(40, 2, 1)
    found = plan(series[:-ahead], series[ahead:], **fields)
    assert carried_features(found) == (0,)
    first = len(found.inputs) - len(found.targets)
    np.testing.assert_array_equal(forecast(found, (0,)), found.inputs[first:])


def test_each_output_has_a_feature_and_a_horizon_of_its_own() -> None:
    series = noise(40, 1, 3)
    targets = np.concatenate([series[2:-3, :, 2:], series[5:, :, :1], series[3:-2, :, 2:]], axis=2)
    found = plan(series[:-5], targets)
    assert carried_features(found) == (2, 0, 2)
    np.testing.assert_array_equal(forecast(found, (2, 0, 2)), found.inputs[:, :, [2, 0, 2]])


def test_what_is_no_forecast_is_none() -> None:
    series = noise(40, 1, 1)
    scaled = (2 * series[1:]).astype(np.float32)
    late = series[1:].copy()
    late[20] += 1
    for inputs, targets in (
        (series, series),  # the same step
        (series[1:], series[:-1]),  # an earlier one
        (series[:-1], scaled),
        (series[:-1], late),
        (series[:-1], noise(39, 1, 1)[::-1]),
        (series[:-30], series[30:]),  # further ahead than can be looked up in half of the steps
        (series[:2], series[1:3]),  # one pair may be chance
        (np.ones((9, 1, 1), np.float32), np.ones((9, 1, 1), np.float32)),
    ):
        assert carried_features(plan(np.ascontiguousarray(inputs), np.ascontiguousarray(targets))) is None
