"""The forecast layer: its outputs are in units of the targets and kept as its state, and its faults are named."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.forecasting.publishing import published_weights, with_forecast, without_forecast
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.spec import NetworkSpec
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network

TARGETS = [{"name": "temp", "shift": 20, "scale": 4}, {"name": "wind", "shift": 1, "scale": 0.5}]
LOG = {"name": "flow", "shift": 1, "scale": 0.5, "log": True, "offset": 3}


def layer(**fields: Any) -> dict[str, Any]:
    """Return a forecast layer of two targets, two steps ahead."""
    return {"type": "forecast", "targets": TARGETS, "horizon": 2, **fields}


def outputs(cache: KernelCache, spec: dict[str, Any], x: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return the outputs and the state of the layer for numbers x (T, B, size) of a layer that hands on its input."""
    size = x.shape[2]
    identity = dense(size, bias=False) | {"init": {"W": "identity"}}
    compiled = CompiledNetwork(make_network(network(size, identity, spec)), cache)
    bound = compiled.bind(compiled.network.init(0), inference=True)
    run = bound.run(x, bound.initial_state(x.shape[1]))
    assert run.bad_step is None
    return run.outputs, run.state


def softplus(x: NDArray[Any]) -> NDArray[Any]:
    """Return log(1 + exp(x))."""
    return np.asarray(np.log1p(np.exp(x)))


@pytest.mark.parametrize("head", ["point", {"quantiles": [0.1, 0.5, 0.9]}, {"distribution": "gaussian"}])
def test_outputs_are_in_units_of_the_targets_and_the_last_ones_are_the_state(cache: KernelCache, head: Any) -> None:
    each = TypeAdapter(ForecastSpec).validate_python(layer(head=head)).each
    x = np.random.default_rng(1).normal(size=(3, 2, 4 * each)).astype(np.float32)
    found, state = outputs(cache, layer(head=head), x)
    scale, shift = np.array([4, 0.5])[:, None], np.array([20, 1])[:, None]
    own = x.astype(np.float64).reshape(3, 2, 2, 2, each)
    expected = scale * own + shift
    if head == {"distribution": "gaussian"}:
        expected[..., 1] = scale[:, 0] * (softplus(own[..., 1]) + 0.001)
    np.testing.assert_allclose(found, expected.reshape(x.shape), rtol=1e-5)
    np.testing.assert_array_equal(state, found[-1])


def test_students_degrees_and_the_parameters_of_counts(cache: KernelCache) -> None:
    x = np.random.default_rng(2).normal(size=(1, 2, 12)).astype(np.float32)
    own = x.astype(np.float64).reshape(1, 2, 2, 2, 3)
    found, _ = outputs(cache, layer(head={"distribution": "student"}), x)
    np.testing.assert_allclose(found.reshape(own.shape)[..., 2], 2 + softplus(own[..., 2]), rtol=1e-5)
    counts = [{"name": "a"}, {"name": "b"}]
    found, _ = outputs(cache, layer(targets=counts, head={"distribution": "negative_binomial"}), x[:, :, :8])
    own = x[:, :, :8].astype(np.float64).reshape(1, 2, 2, 2, 2)
    expected = np.stack([np.exp(own[..., 0]), softplus(own[..., 1]) + 0.001], axis=-1)
    np.testing.assert_allclose(found.reshape(own.shape), expected, rtol=1e-5)


def test_the_logarithm_of_one_target_leaves_the_other_as_it_is(cache: KernelCache) -> None:
    """Also if that is so large that its exponential would overflow."""
    x = np.array([[[0.5, 1000, -1, -1000]]], np.float32)
    found, _ = outputs(cache, layer(targets=[LOG, TARGETS[1]]), x)
    np.testing.assert_allclose(found[0, 0], [np.exp(1.25) - 3, 501, np.exp(0.5) - 3, -499], rtol=1e-6)


def test_what_is_published_and_what_is_trained() -> None:
    trained = NetworkSpec.model_validate(network(1, recurrent("gru", 3), dense(4)))
    spec = TypeAdapter(ForecastSpec).validate_python(layer())
    published = with_forecast(trained, spec)
    assert without_forecast(published) == trained == without_forecast(trained)
    assert with_forecast(published, spec) == published
    built = make_network(published.model_dump(mode="json"))
    weights = published_weights(built, make_network(trained.model_dump(mode="json")).init(3))
    built.check_weights(weights)
    assert weights["2.a"].tolist() == [4, 0.5, 4, 0.5]
    assert built.forecast == spec
    renamed = with_forecast(trained, spec.model_copy(update={"targets": spec.targets[::-1]}))
    assert built.digest != make_network(renamed.model_dump(mode="json")).digest


@pytest.mark.parametrize(
    ("layers", "pointer", "expected"),
    [
        ([dense(3), layer()], "/layers/1", "2 x 2 x 1 = 4"),
        ([dense(4), layer(), dense(1)], "/layers/1", "the last layer"),
        ([dense(2), {"type": "residual", "layers": [layer(horizon=1)]}], "/layers/1/layers/0", "the last layer"),
        ([dense(4), layer(residuals={"levels": [0.5], "values": [0, 1]})], "/layers/1/residuals/values", "4"),
    ],
)
def test_faults_are_named(layers: list[Any], pointer: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_network(network(2, *layers))
    assert (caught.value.pointer, caught.value.expected) == (pointer, expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": []},
        {"targets": [TARGETS[0], TARGETS[0]]},
        {"targets": [{"name": "a", "scale": 0}]},
        {"horizon": 0},
        {"head": "median"},
        {"head": {"quantiles": [0.9, 0.1]}},
        {"head": {"distribution": "normal"}},
        {"head": {"distribution": "negative_binomial"}},
    ],
)
def test_what_is_no_forecast_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ForecastSpec).validate_python(layer(**fields))
