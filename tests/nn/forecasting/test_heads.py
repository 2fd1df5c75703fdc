"""Quantiles of each kind of head, the residuals of validation data, and the scale of targets."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from cellar.nn.forecasting.heads import central, measure_residuals, quantiles, scale_targets
from cellar.nn.model.layers.forecast import ForecastSpec

RANDOM = np.random.default_rng(11)
LOG = {"name": "flow", "shift": 1, "scale": 0.5, "log": True, "offset": 3}


def make(head: Any = "point", horizon: int = 1, targets: Any = ({"name": "y"},), **fields: Any) -> ForecastSpec:
    """Return a layer."""
    spec = {"type": "forecast", "targets": [*targets], "horizon": horizon, "head": head, **fields}
    return TypeAdapter(ForecastSpec).validate_python(spec)


def test_a_gaussian_has_its_quantiles_and_its_mean() -> None:
    layer = make({"distribution": "gaussian"}, horizon=2)
    found = quantiles(layer, np.array([[10.0, 2.0, 20.0, 3.0]]), np.array([0.1, 0.5, 0.9]))
    expected = [[NormalDist(m, s).inv_cdf(q) for q in (0.1, 0.5, 0.9)] for m, s in ((10, 2), (20, 3))]
    np.testing.assert_allclose(found[0, :, 0], expected)
    np.testing.assert_array_equal(central(layer, np.array([10.0, 2.0, 20.0, 3.0]))[:, 0], [10, 20])


def test_parameters_of_a_logarithm_give_quantiles_of_the_target() -> None:
    layer = make({"distribution": "gaussian"}, targets=[LOG])
    found = quantiles(layer, np.array([1.0, 0.5]), np.array([0.5, 0.9]))[0, 0]
    np.testing.assert_allclose(found, [np.exp(1) - 3, np.exp(NormalDist(1, 0.5).inv_cdf(0.9)) - 3])
    assert central(layer, np.array([1.0, 0.5]))[0, 0] == found[0]


def test_quantiles_between_those_of_the_head_and_beyond_and_crossing_ones() -> None:
    """Those of a normal distribution are exact everywhere, and crossing ones are sorted."""
    levels = (0.1, 0.4, 0.9)
    layer, normal = make({"quantiles": levels}), NormalDist(5, 2)
    own, wanted = np.array([normal.inv_cdf(q) for q in levels]), np.array([0.01, 0.1, 0.5, 0.7, 0.99])
    for given in (own, own[::-1]):
        found = quantiles(layer, given, wanted)[0, 0]
        np.testing.assert_allclose(found, [normal.inv_cdf(q) for q in wanted])
    np.testing.assert_allclose(central(layer, own), [[5]])


@pytest.mark.parametrize("head", ["point", {"quantiles": [0.2, 0.8]}, {"distribution": "gaussian"}])
def test_intervals_with_residuals_hold_as_many_new_values_as_they_say(head: Any) -> None:
    """The forecasts are biased and much too narrow: of 4,000 new values 80% are within the interval of 80%."""
    layer = make(head, horizon=2)
    count = layer.out_size

    def draw(rows: int) -> tuple[Any, Any]:
        level = RANDOM.normal(0, 1, (rows, 1))
        outputs = np.repeat(level, count, axis=1) + 0.3
        if head == {"distribution": "gaussian"}:
            outputs[:, 1::2] = 0.1
        return outputs, (level + RANDOM.normal(0, 1, (rows, 2)) * [1, 3])[:, :, None]

    measured = measure_residuals(layer, *draw(2000))
    assert measured is not None
    layer = layer.model_copy(update={"residuals": measured})
    outputs, actual = draw(4000)
    low, high = np.moveaxis(quantiles(layer, outputs, np.array([0.1, 0.9])), -1, 0)
    share = ((actual >= low) & (actual <= high)).mean(axis=(0, 2))
    assert abs(share - 0.8).max() < 0.03


@pytest.mark.parametrize("head", ["point", {"quantiles": [0.1, 0.5, 0.9]}])
def test_an_interval_holds_the_central_value_also_if_all_residuals_have_one_sign(head: Any) -> None:
    layer = make(head, horizon=2, residuals={"levels": [0.1, 0.5, 0.9], "values": [1, 2, 4, -4, -2, -1]})
    outputs = np.repeat([10.0, 20.0], 1 if head == "point" else 3)
    levels = np.array([0.05, 0.1, 0.5, 0.9])
    for factors in (None, np.full((2, 1), 0.25)):
        found = quantiles(layer, outputs, levels, factors)[:, 0]
        centre = central(layer, outputs)[:, 0]
        assert (found[:, 0] <= found[:, 1]).all()
        assert (found[:, 1] <= centre).all()
        assert (centre <= found[:, 3]).all()
        np.testing.assert_array_equal(found[:, 2], [12, 18])  # the median of the errors is not changed
    assert quantiles(layer, outputs, levels)[:, 0].tolist()[1][3] == 20


def test_residuals_leave_out_missing_values_and_need_one_of_each() -> None:
    layer = make(horizon=2)
    actual = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])[:, :, None]
    measured = measure_residuals(layer, np.zeros((3, 2)), actual, (0.25, 0.5, 0.75))
    assert measured is not None
    assert [*measured.values] == [1, 1, 3, 5, 5, 7]
    assert measure_residuals(layer, np.zeros((1, 2)), actual[:1]) is None


def test_a_level_for_each_number_is_a_sample() -> None:
    """Levels (..., 1) of random streams give the same numbers as one level at a time."""
    layer = make({"quantiles": [0.1, 0.5, 0.9]}, horizon=2, residuals={"levels": [0.3, 0.7], "values": [-1, 1, -2, 2]})
    outputs, drawn = RANDOM.normal(0, 1, (5, 6)), RANDOM.random((5, 2, 1, 1))
    found = quantiles(layer, outputs, drawn)
    for row, step in np.ndindex(5, 2):
        each = quantiles(layer, outputs[row], drawn[row, step, 0])
        assert found[row, step, 0, 0] == each[step, 0, 0]


def test_targets_are_scaled_as_the_layer_scales_back() -> None:
    layer = make(targets=[{"name": "a", "shift": 2, "scale": 4}, LOG])
    found = scale_targets(layer, np.array([[10.0, np.e - 3], [np.nan, -5]]))
    np.testing.assert_allclose(found, np.array([[2, 0], [np.nan, np.nan]]), atol=1e-12)
