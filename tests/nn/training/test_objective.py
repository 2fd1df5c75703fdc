"""Losses with weights of any kind: one update of a linear network against numerical derivatives in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import check, evaluate, fit
from tests.nn.golden.cases import dense, network
from tests.nn.oracle import make_network

Array = NDArray[Any]
STEPS, ROWS = 6, 4
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(0, 1, (STEPS, ROWS, 3)).astype(np.float32)
REAL = RANDOM.normal(0, 1, (STEPS, ROWS, 2)).astype(np.float32)
COUNTS = RANDOM.poisson(2, (STEPS, ROWS, 2)).astype(np.float32)
BINARY = RANDOM.integers(0, 2, (STEPS, ROWS, 2)).astype(np.float32)
CLASSES = RANDOM.integers(0, 3, (STEPS, ROWS, 1)).astype(np.float32)
SHARES = RANDOM.dirichlet(np.ones(3), (STEPS, ROWS)).astype(np.float32)
EACH = RANDOM.uniform(0, 2, (STEPS, ROWS, 2)).astype(np.float32) * (RANDOM.random((STEPS, ROWS, 2)) < 0.7)
STEP = EACH[:, :, 0]
SOME = np.where(RANDOM.random((STEPS, ROWS, 1)) < 0.3, -100, CLASSES).astype(np.float32)


def mean(losses: Array, weights: Array | float = 1.0) -> float:
    """Return the weighted mean."""
    weights = np.broadcast_to(weights, losses.shape)
    return float((losses * weights).sum() / weights.sum())


def log_softmax(x: Array) -> Array:
    """Return the logarithm of softmax."""
    y = x - x.max(axis=-1, keepdims=True)
    found: Array = y - np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return found


def softplus(x: Array) -> Array:
    """Return log(1 + exp(x))."""
    return np.logaddexp(0, x)


def of_class(x: Array, classes: Array, gamma: float = 0.0) -> Array:
    """Return the cross entropy (T, B) of class indices, or the focal loss; an index that is ignored counts as 0."""
    logs = np.take_along_axis(log_softmax(x), np.maximum(classes, 0).astype(int), axis=2)[:, :, 0]
    found: Array = -((1 - np.exp(logs)) ** gamma) * logs
    return found


def pinball(x: Array) -> Array:
    """Return the quantile loss (T, B, 2) of two targets with two quantiles each."""
    error = REAL[:, :, :, None] - x.reshape(STEPS, ROWS, 2, 2)
    levels = np.array([0.2, 0.9])
    found: Array = np.maximum(levels * error, (levels - 1) * error).mean(axis=3)
    return found


BY_CLASS = np.array([1.0, 3.0, 0.5])
KNOWN = (SOME != -100)[:, :, 0]
SEVERAL = {
    "type": "several",
    "parts": [
        {"outputs": 2, "loss": "mse"},
        {"outputs": 3, "loss": {"type": "cross_entropy", "ignore_index": -100}, "weight": 0.5},
    ],
}
BOTH = np.concatenate([REAL, SOME], axis=2)
FOCAL = {"type": "binary_focal", "alpha": 0.3, "gamma": 1.5}


def binary_focal(x: Array) -> Array:
    """Return the focal loss (T, B, 2) of independent probabilities."""
    p = 1 / (1 + np.exp(-x))
    hit = 0.3 * BINARY * (1 - p) ** 1.5 * softplus(-x)
    return hit + 0.7 * (1 - BINARY) * p**1.5 * softplus(x)


CASES: dict[str, tuple[dict[str, Any], int, Dataset, Callable[[Array], float] | None]] = {
    "each target has a weight": ({}, 2, Dataset(INPUTS, REAL, weights=EACH), lambda x: mean((x - REAL) ** 2, EACH)),
    "each step has a weight": (
        {"loss": "mae"},
        2,
        Dataset(INPUTS, REAL, weights=STEP),
        lambda x: mean(abs(x - REAL).mean(axis=2), STEP),
    ),
    "the sum over steps": (
        {"reduce": "sum"},
        2,
        Dataset(INPUTS, REAL, weights=EACH),
        lambda x: float((EACH * (x - REAL) ** 2).sum() / (2 * ROWS)),
    ),
    "target_weights": (
        {"target_weights": [3, 0.5]},
        2,
        Dataset(INPUTS, REAL),
        lambda x: mean((x - REAL) ** 2, np.array([3, 0.5])),
    ),
    "quantiles of targets with weights": (
        {"loss": {"type": "quantile", "quantiles": [0.2, 0.9]}},
        4,
        Dataset(INPUTS, REAL, weights=EACH),
        lambda x: mean(pinball(x), EACH),
    ),
    "gaussians of targets with weights": (
        {"loss": "gaussian", "target_weights": [0, 2]},
        4,
        Dataset(INPUTS, REAL),
        None,
    ),
    "classes with weights": (
        {"loss": {"type": "cross_entropy", "class_weights": [1, 3, 0.5], "ignore_index": -100}},
        3,
        Dataset(INPUTS, SOME),
        lambda x: mean(of_class(x, SOME), KNOWN * BY_CLASS[np.maximum(SOME[:, :, 0], 0).astype(int)]),
    ),
    "probabilities with weights": (
        {"loss": {"type": "cross_entropy", "class_weights": [1, 3, 0.5]}},
        3,
        Dataset(INPUTS, SHARES, weights=STEP),
        lambda x: float(
            (STEP[:, :, None] * SHARES * BY_CLASS * -log_softmax(x)).sum()
            / (STEP[:, :, None] * SHARES * BY_CLASS).sum()
        ),
    ),
    "positive_weight": (
        {"loss": {"type": "binary_cross_entropy", "positive_weight": 4}},
        2,
        Dataset(INPUTS, BINARY),
        lambda x: mean(4 * BINARY * softplus(-x) + (1 - BINARY) * softplus(x)),
    ),
    "several": (
        {"loss": SEVERAL},
        5,
        Dataset(INPUTS, BOTH, weights=STEP),
        lambda x: (
            mean(((x[:, :, :2] - REAL) ** 2).mean(axis=2), STEP) + 0.5 * mean(of_class(x[:, :, 2:], SOME), STEP * KNOWN)
        ),
    ),
    "several, with weights of targets": (
        {"loss": SEVERAL, "recompute": 2},
        5,
        Dataset(INPUTS, BOTH, weights=np.concatenate([EACH, STEP[:, :, None]], axis=2)),
        lambda x: mean((x[:, :, :2] - REAL) ** 2, EACH) + 0.5 * mean(of_class(x[:, :, 2:], SOME), STEP * KNOWN),
    ),
    "log_cosh": ({"loss": "log_cosh"}, 2, Dataset(INPUTS, 3 * REAL), lambda x: mean(np.log(np.cosh(x - 3 * REAL)))),
    "poisson": ({"loss": "poisson"}, 2, Dataset(INPUTS, COUNTS), lambda x: mean(np.exp(x) - COUNTS * x)),
    "focal": (
        {"loss": {"type": "focal", "gamma": 1.5}},
        3,
        Dataset(INPUTS, CLASSES),
        lambda x: mean(of_class(x, CLASSES, 1.5)),
    ),
    "binary_focal": ({"loss": FOCAL}, 2, Dataset(INPUTS, BINARY), lambda x: mean(binary_focal(x))),
}


@pytest.mark.parametrize("name", CASES)
def test_one_update_is_a_step_down_the_gradient(name: str, cache: KernelCache) -> None:
    fields, size, data, objective = CASES[name]
    compiled = CompiledNetwork(make_network(network(3, dense(size))), cache)
    begin, rate = compiled.network.init(3), 0.05 if "reduce" in fields else 0.5
    settings = {"epochs": 1, "optimiser": {"type": "sgd", "learning_rate": rate}, **fields}
    spec = TrainingSpec.model_validate(settings)
    (last,) = fit(compiled, begin, data, spec)
    (divided,) = fit(compiled, begin, data, spec, window_bytes=1)
    assert last.checkpoint() == divided.checkpoint()
    reported = evaluate(compiled, begin, last.weights(), data, spec)
    assert reported.before == pytest.approx(last.loss, rel=1e-6)
    assert reported.loss is not None
    assert reported.loss < last.loss
    if objective is None:
        return
    matrix, bias = (begin[each].astype(np.float64) for each in ("0.W", "0.b"))

    def loss(w: Array, b: Array) -> float:
        return objective(INPUTS.astype(np.float64) @ w.T + b)

    if "reduce" not in fields:
        assert last.loss == pytest.approx(loss(matrix, bias), rel=1e-5)
    for array, weights in ((matrix, "0.W"), (bias, "0.b")):
        slope = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            ends = []
            for nudge in (1e-6, -1e-6):
                array[at] += nudge
                ends.append(loss(matrix, bias))
                array[at] -= nudge
            slope[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(last.weights()[weights], array - rate * slope, rtol=1e-4, atol=1e-5)


def test_the_logarithm_of_cosh_keeps_its_digits(cache: KernelCache) -> None:
    from tests.nn.training.update.test_compiled_loss import score

    errors = np.array([1e-6, 1e-3, 0.3, 0.49999, 0.5, 0.50001, 2.0, 30.0, 1e6], np.float32).reshape(-1, 1, 1)
    scored = score("log_cosh", cache, errors, np.zeros_like(errors), None, 1.0)
    exact = errors.astype(np.float64)[:, 0, 0]
    expected = np.where(exact < 0.1, exact**2 / 2 - exact**4 / 12, exact + np.log1p(np.exp(-2 * exact)) - np.log(2))
    np.testing.assert_allclose(scored.losses[:, 0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(scored.d_outputs[:, 0, 0], np.tanh(exact), rtol=2e-6)


@pytest.mark.parametrize(
    ("fields", "size", "targets", "pointer"),
    [
        ({"target_weights": [1]}, 2, REAL, "/target_weights"),
        ({"target_weights": [1, 2], "loss": "cross_entropy"}, 3, CLASSES, "/target_weights"),
        ({"loss": {"type": "cross_entropy", "class_weights": [1, 2]}}, 3, CLASSES, "/loss/class_weights"),
        ({"loss": {"type": "several", "parts": [{"outputs": 2, "loss": "mse"}]}}, 3, REAL, "/loss/parts"),
        (
            {"loss": {"type": "several", "parts": [{"outputs": 1, "loss": "mse"}, {"outputs": 1, "loss": "focal"}]}},
            2,
            REAL,
            "/loss/parts/1/loss",
        ),
        ({"loss": SEVERAL}, 5, REAL, "/data/targets"),
        ({"loss": "poisson"}, 2, -COUNTS, "/data/targets"),
        ({"loss": {"type": "cross_entropy", "ignore_index": 1}}, 3, np.ones_like(CLASSES), "/data/targets"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], size: int, targets: Array, pointer: str) -> None:
    with pytest.raises((InvalidInput, Exception)) as caught:
        check(make_network(network(3, dense(size))), Dataset(INPUTS, targets), TrainingSpec.model_validate(fields))
    assert getattr(caught.value, "pointer", caught.value) == pointer
