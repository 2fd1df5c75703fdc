"""Losses against PyTorch."""

from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import TypeAdapter

from cellar.engine import Floats, Ints, KernelCache
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.training.losses import LossSpec
from cellar.nn.training.update.compiled_loss import CompiledLoss
from tests.nn.golden.cases import LOSSES, ROWS, STEPS
from tests.nn.golden.read import assert_float32, read


@dataclass(frozen=True)
class Scored:
    """The losses (T, B, 1) of every step and row, and the gradient (T, B, O) of their scaled sum."""

    losses: Floats
    d_outputs: Floats


def make_loss(spec: object, size: int, cache: KernelCache, steps: int | None = None) -> CompiledLoss:
    """Return the loss of a JSON specification for so many outputs."""
    return CompiledLoss(TypeAdapter[LossSpec](LossSpec).validate_python(spec), size, Arithmetic(cache), steps)


def score(
    spec: object, cache: KernelCache, outputs: Floats, targets: Floats, lengths: Ints | None, scale: float
) -> Scored:
    """Return the losses of outputs against targets, and the gradient of scale * sum(losses)."""
    commands = Arithmetic(cache).recording()
    d_outputs = np.zeros_like(outputs)
    loss = make_loss(spec, outputs.shape[2], cache)
    (recorded,) = loss.record(commands, outputs, targets, d_outputs, ragged=lengths is not None)
    recorded.prepare(scale, lengths)
    assert commands.run()
    return Scored(recorded.losses, d_outputs)


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients(name: str, cache: KernelCache) -> None:
    golden = read("losses")
    scored = score(LOSSES[name], cache, golden["outputs"], golden[f"{name}.targets"], None, 1 / (STEPS * ROWS))
    assert_float32(scored.losses[:, :, 0], golden, f"{name}.losses")
    assert_float32(scored.d_outputs, golden, f"{name}.d_outputs")


def test_past_a_rows_length_there_is_no_loss_and_no_gradient(cache: KernelCache) -> None:
    golden = read("losses")
    lengths = np.array([7, 0, 3], np.int32)
    scored = score("mse", cache, golden["outputs"], golden["mse.targets"], lengths, 1.0)
    whole = score("mse", cache, golden["outputs"], golden["mse.targets"], None, 1.0)
    for row, length in enumerate(lengths):
        assert np.array_equal(scored.losses[:length, row], whole.losses[:length, row])
        assert np.array_equal(scored.d_outputs[:length, row], whole.d_outputs[:length, row])
        assert not scored.losses[length:, row].any()
        assert not scored.d_outputs[length:, row].any()


@pytest.mark.parametrize("lengths", [None, np.array([7, 0, 3], np.int32)], ids=["full", "ragged"])
def test_some_steps_at_a_time_or_all_give_equal_bits(lengths: Ints | None, cache: KernelCache) -> None:
    golden = read("losses")
    outputs, targets = golden["outputs"], golden["mse.targets"]
    expected = score("mse", cache, outputs, targets, lengths, 0.5)
    for steps in (None, 3):
        loss = make_loss("mse", outputs.shape[2], cache, steps)
        assert loss.measure(outputs, targets, lengths)[0].tobytes() == expected.losses.tobytes()
    for begin in range(0, len(outputs), 3):
        part = slice(begin, min(begin + 3, len(outputs)))
        left = None if lengths is None else np.clip(lengths - begin, 0, part.stop - begin).astype(np.int32)
        found = score("mse", cache, outputs[part], targets[part], left, 0.5)
        assert found.losses.tobytes() == expected.losses[part].tobytes()
        assert found.d_outputs.tobytes() == expected.d_outputs[part].tobytes()
