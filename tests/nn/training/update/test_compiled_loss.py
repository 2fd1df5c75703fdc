"""Losses against PyTorch."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from cellar.engine import KernelCache
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.training.losses import LossSpec
from cellar.nn.training.update.compiled_loss import CompiledLoss, Lengths
from tests.nn.golden.cases import LOSSES, ROWS, STEPS
from tests.nn.golden.read import assert_float32, read


def make_loss(spec: object, size: int, cache: KernelCache, steps: int | None = None) -> CompiledLoss:
    """Return the loss of a JSON specification for so many outputs."""
    return CompiledLoss(TypeAdapter[LossSpec](LossSpec).validate_python(spec), size, Arithmetic(cache), steps)


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name: str, cache: KernelCache) -> None:
    golden = read("losses")
    loss = make_loss(LOSSES[name], golden["outputs"].shape[2], cache)
    scored = loss.score(golden["outputs"], golden[f"{name}.targets"], None, 1 / (STEPS * ROWS))
    assert_float32(scored.losses[:, :, 0], golden, f"{name}.losses")
    assert_float32(scored.d_outputs, golden, f"{name}.d_outputs")


def test_past_a_rows_length_there_is_no_loss_and_no_gradient(cache: KernelCache) -> None:
    golden = read("losses")
    lengths = np.array([7, 0, 3], np.int32)
    loss = make_loss("mse", golden["outputs"].shape[2], cache)
    scored = loss.score(golden["outputs"], golden["mse.targets"], lengths, 1.0)
    whole = loss.score(golden["outputs"], golden["mse.targets"], None, 1.0)
    for row, length in enumerate(lengths):
        assert np.array_equal(scored.losses[:length, row], whole.losses[:length, row])
        assert np.array_equal(scored.d_outputs[:length, row], whole.d_outputs[:length, row])
        assert not scored.losses[length:, row].any()
        assert not scored.d_outputs[length:, row].any()


@pytest.mark.parametrize("lengths", [None, np.array([7, 0, 3], np.int32)], ids=["full", "ragged"])
def test_some_steps_at_a_time_or_all_give_equal_bits(lengths: Lengths | None, cache: KernelCache) -> None:
    golden = read("losses")
    outputs, targets = golden["outputs"], golden["mse.targets"]
    whole, cut = (make_loss("mse", outputs.shape[2], cache, steps) for steps in (None, 3))
    expected, found = (loss.score(outputs, targets, lengths, 0.5) for loss in (whole, cut))
    assert found.losses.tobytes() == expected.losses.tobytes()
    assert found.d_outputs.tobytes() == expected.d_outputs.tobytes()
    assert cut.measure(outputs, targets, lengths).tobytes() == expected.losses.tobytes()
