"""Every optimiser over 3,000 updates with gradients from 1e-12 to 1e6, against PyTorch; lion against its paper."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn import oracle
from tests.nn.golden.cases import dense, network
from tests.nn.golden.long_runs import KEPT, LONG_RUNS, WEIGHTS, gradients
from tests.nn.golden.read import read
from tests.nn.long_runs import TOLERANCE, errors, run
from tests.nn.training.update.test_compiled_optimiser import make_optimiser

Array = NDArray[Any]


@pytest.mark.parametrize("name", LONG_RUNS)
def test_weights_are_those_of_pytorch(name: str, cache: KernelCache) -> None:
    golden = read("long_runs")
    truth = golden[f"64.{name}"]
    bound = max(TOLERANCE, 2 * float(errors(golden[f"32.{name}"], truth).max()))
    assert errors(run(LONG_RUNS[name], cache), truth).max() < bound
    assert bound < 1e-4


def test_lion_follows_the_sign_of_the_smallest_momentum(cache: KernelCache) -> None:
    spec = {"type": "lion", "learning_rate": 0.001, "weight_decay": 0.01}
    weights, momentum, kept = np.zeros(WEIGHTS), np.zeros(WEIGHTS), []
    for number, gradient in enumerate(gradients().astype(np.float64), 1):
        step = np.sign(0.9 * momentum + 0.1 * gradient)
        weights = weights - 0.001 * 0.01 * weights - 0.001 * step
        momentum = 0.99 * momentum + 0.01 * gradient
        if number in KEPT:
            kept.append(weights)
    # 3,000 equal steps round in one direction: half a unit in the last place each would be 1.8e-4.
    assert errors(run(spec, cache), np.stack(kept)).max() < 2 * TOLERANCE


@pytest.mark.parametrize(("epsilon", "weight"), [(1e-8, 0.00299), (1e-10, 0.0133), (1e-12, 0.0138)])
@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_one_tiny_gradient_in_ten_updates(kind: str, epsilon: float, weight: float, cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(1, dense(1, bias=False))), cache)
    inputs, targets = np.zeros((1, 10, 1), np.float32), np.ones((1, 10, 1), np.float32)
    inputs[0, 0] = 4e-9
    spec = TrainingSpec.model_validate(
        {"epochs": 5, "batch_size": 1, "optimiser": {"type": kind, "epsilon": epsilon, "learning_rate": 0.001}}
    )
    *_, last = fit(compiled, {"0.W": np.zeros((1, 1), np.float32)}, Dataset(inputs, targets), spec)
    assert last.weights()["0.W"][0, 0] == pytest.approx(weight, rel=0.02)


SIZES = [1e-42, 1e-30, 1e-20, 1e-12, 1.0, 1e12, 1e20, 1e38]
"""Of gradients. Their squares are no float32 at either end; a subnormal number has few digits of its own."""


@pytest.mark.parametrize("size", SIZES)
def test_a_gradient_of_any_size_is_clipped_to_its_norm(size: float, cache: KernelCache) -> None:
    gradient = (np.array([3, -4, 0, 1e-3, 12], np.float64) / 13 * size).astype(np.float32)
    exact = gradient.astype(np.float64)
    norm = float(np.sqrt((exact * exact).sum()))
    for limit in (min(norm / 10, 1e6), min(norm * 10, 1e6)):
        optimiser = make_optimiser({"type": "sgd", "learning_rate": 1.0, "clip_norm": limit}, 5, cache)
        update = optimiser.update(np.zeros(5, np.float32), gradient, optimiser.start(), 1.0)
        expected = -exact * min(1.0, limit / norm)
        np.testing.assert_allclose(update.weights, expected, rtol=1e-6, atol=2e-45)


@pytest.mark.parametrize("limit", [1e-30, 1e-3, 1e6])
def test_a_gradient_of_any_size_is_clipped_by_value(limit: float, cache: KernelCache) -> None:
    gradient = np.array([sign * size for size in SIZES for sign in (-1, 1)], np.float32)
    optimiser = make_optimiser({"type": "sgd", "learning_rate": 1.0, "clip_value": limit}, gradient.size, cache)
    update = optimiser.update(np.zeros_like(gradient), gradient, optimiser.start(), 1.0)
    np.testing.assert_array_equal(update.weights, -np.clip(gradient, -np.float32(limit), np.float32(limit)))


@pytest.mark.parametrize("size", [np.inf, np.nan])
def test_clipping_hides_no_number_that_is_not_finite(size: float, cache: KernelCache) -> None:
    optimiser = make_optimiser({"type": "sgd", "clip_norm": 1.0}, 3, cache)
    gradient = np.array([1, size, 1], np.float32)
    assert not optimiser.update(np.zeros(3, np.float32), gradient, optimiser.start(), 0.1).finite


def test_a_loss_of_small_errors_is_told(cache: KernelCache) -> None:
    compiled = CompiledNetwork(oracle.make_network(network(1, dense(1, bias=False))), cache)
    data = Dataset(np.ones((1, 20, 1), np.float32), np.full((1, 20, 1), 1 + 3e-7, np.float32))
    spec = TrainingSpec.model_validate({"epochs": 1, "batch_size": 20, "optimiser": "sgd", "validation": 0.5})
    weights = {"0.W": np.ones((1, 1), np.float32)}
    *_, last = fit(compiled, weights, Dataset(data.inputs * 1e-6, data.targets * np.float32(1e-6)), spec)
    error = float((np.float32(1e-6) - data.targets[0, 0, 0] * np.float32(1e-6)).astype(np.float64))
    assert last.history[0].loss == pytest.approx(error * error, rel=1e-6)
    assert 0 < last.history[0].loss < 1e-24
