"""Functions of other frameworks as texts of the cell language, against NumPy in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cellar.engine import build_cell
from cellar.interchange.activations import TEXTS, Activation, number_text
from tests.engine.interpreter import interpret_forward
from tests.interchange.proofs.onnx_numpy import FUNCTIONS as ONNX

X = np.array([-40, -3, -1.5, -1, -0.75, -1e-3, 0, 1e-3, 0.25, 0.5, 1, 1.75, 3, 40])
SIGMOID = 1 / (1 + np.exp(-X))
MEANINGS: dict[str, Callable[..., Any]] = {
    "abs": lambda: np.abs(X),
    "affine": lambda alpha, beta: alpha * X + beta,
    "celu": lambda alpha: np.maximum(X, 0) + np.minimum(0, alpha * np.expm1(X / alpha)),
    "clip": lambda low, high: np.clip(X, low, high),
    "clip_above": lambda high: np.minimum(X, high),
    "clip_below": lambda low: np.maximum(X, low),
    "elu": lambda alpha: np.where(X >= 0, X, alpha * np.expm1(X)),
    "exp": lambda: np.exp(X),
    "gelu_tanh": lambda: 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))),
    "hard_sigmoid": lambda alpha, beta: np.clip(alpha * X + beta, 0, 1),
    "hard_sigmoid_sixth": lambda: np.clip(X / 6 + 0.5, 0, 1),
    "hard_silu": lambda: X * np.clip(X / 6 + 0.5, 0, 1),
    "leaky_relu": lambda alpha: np.where(X >= 0, X, alpha * X),
    "log_sigmoid": lambda: np.log(SIGMOID),
    "log_softmax": lambda: X - np.log(np.exp(X).sum()),
    "mish": lambda: X * np.tanh(np.log1p(np.exp(X))),
    "negative": lambda: -X,
    "scaled_tanh": lambda alpha, beta: alpha * np.tanh(beta * X),
    "selu": lambda alpha, gamma: gamma * np.where(X > 0, X, alpha * np.expm1(X)),
    "silu": lambda: X * SIGMOID,
    "soft_shrink": lambda theta: np.where(theta < X, X - theta, np.where(-theta > X, X + theta, 0)),
    "softsign": lambda: X / (1 + np.abs(X)),
    "squareplus": lambda beta: (X + np.sqrt(X * X + beta)) / 2,
    "tanh_shrink": lambda: X - np.tanh(X),
    "thresholded_leaky_relu": lambda theta, alpha: np.where(theta < X, X, alpha * (X - theta)),
    "thresholded_leaky_relu_below": lambda theta, alpha, high: np.where(
        theta < X, np.clip(X, 0, high), alpha * (X - theta)
    ),
    "thresholded_relu": lambda theta: np.where(theta <= X, X, 0),
    "thresholded_relu_strict": lambda theta: np.where(theta < X, X, 0),
}
NUMBERS = {"clip": {"low": -1.0, "high": 0.5}, "clip_above": {"high": 0.5}, "clip_below": {"low": -1.0}}
POSITIVE = {"log": np.log, "sqrt": np.sqrt, "reciprocal": np.reciprocal}


def compute(activation: Activation, values: Any) -> Any:
    """Return what the text computes, in float64."""
    cell = build_cell(f"output = {activation.of('x')}", {"in": len(values), "hidden": 1})
    return interpret_forward(cell, {}, [values[None, None, :]], np.zeros((1, 0))).outputs[0, 0]


@pytest.mark.parametrize("name", MEANINGS)
def test_each_function_is_what_its_framework_computes(name: str) -> None:
    numbers = NUMBERS.get(name, dict(TEXTS[name].numbers))
    found = compute(Activation(name, numbers), X)
    np.testing.assert_allclose(found, MEANINGS[name](**numbers), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", POSITIVE)
def test_functions_of_positive_numbers(name: str) -> None:
    values = np.array([0.25, 1, 7])
    np.testing.assert_allclose(compute(Activation(name), values), POSITIVE[name](values), rtol=1e-6)


def test_every_function_has_a_test_and_numbers_may_be_negative() -> None:
    assert {*MEANINGS, *POSITIVE} == TEXTS.keys()
    found = compute(Activation("thresholded_relu", {"theta": -1.0}), X)
    np.testing.assert_array_equal(found, np.where(X >= -1, X, 0))
    found = compute(Activation("leaky_relu", {"alpha": -0.5}), X)
    np.testing.assert_allclose(found, np.where(X >= 0, X, -0.5 * X))
    assert ONNX["Elu"](X, 1.0, 0.0).shape == X.shape


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (0.1, "0.1"), (-0.5, "(-0.5)"), (1e-5, "1e-05"), (3e8, "3e+08"), (0.0, "0"), (16777217.0, "16777216")],
)
def test_numbers_are_the_shortest_decimals_of_float32(value: float, text: str) -> None:
    assert number_text(value) == text or float(number_text(value).strip("()")) == np.float32(value)
