"""Losses with several outputs for each target: values and gradients of PyTorch's distributions, sizes, and targets."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.training.losses import LossSpec
from tests.nn.golden.likelihoods import LOSSES, ROWS, STEPS, data
from tests.nn.golden.read import assert_float32, read
from tests.nn.training.test_loss import read as read_targets
from tests.nn.training.test_loss import targets
from tests.nn.training.update.test_compiled_loss import make_loss, score


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_those_of_pytorch(name: str, cache: KernelCache) -> None:
    golden = read("likelihoods")
    spec, each = LOSSES[name]
    outputs, given = data(name)
    compared = TypeAdapter[Any](LossSpec).validate_python(spec).compared(given, each * given.shape[2])
    scored = score(spec, cache, outputs, compared, None, 1 / (STEPS * ROWS))
    assert_float32(scored.losses[:, :, 0], golden, f"{name}.losses")
    assert_float32(scored.d_outputs, golden, f"{name}.d_outputs")
    measured = make_loss(spec, outputs.shape[2], cache, 7).measure(outputs, compared, None)[0]
    assert measured.tobytes() == scored.losses.tobytes()


def test_outputs_that_are_no_multiple_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        read_targets(targets([1.0]), "gaussian", 3)
    assert (caught.value.pointer, caught.value.expected) == ("/loss", "a network with a multiple of 2 outputs")


@pytest.mark.parametrize("fault", [-1.0, 0.5])
def test_what_is_no_count_is_refused(fault: float) -> None:
    with pytest.raises(InvalidInput, match="a target is no count: step 1, row 0") as caught:
        read_targets(targets([3.0], [fault]), "negative_binomial", 2)
    assert caught.value.expected == "whole numbers from 0"


@pytest.mark.parametrize("quantiles", [[], [0.5, 0.5], [0.9, 0.1], [0.0], [1.0], [0.001 * i for i in range(1, 101)]])
def test_quantiles_are_in_order_and_between_0_and_1(quantiles: list[float]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter[Any](LossSpec).validate_python({"type": "quantile", "quantiles": quantiles})


def test_each_quantile_has_an_output_of_its_target() -> None:
    # the test's stand-in or text for it
    plan = read_targets(targets([1.0, 2.0]), {"type": "quantile", "quantiles": [0.1, 0.9]}, 4)  # type: ignore[arg-type]
    np.testing.assert_array_equal(plan.targets[0, 0], [1, 1, 2, 2])
