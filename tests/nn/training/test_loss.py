"""Targets of cross entropies: class indices and probabilities, and nothing else."""

from typing import Any

import numpy as np
import pytest

from cellar.errors import InvalidInput
from cellar.nn.training.data.alignment import split
from cellar.nn.training.data.batches import Plan
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec

Array = np.ndarray[Any, np.dtype[np.float32]]


def targets(*steps: list[float]) -> Array:
    """Return (T, 1, F)."""
    return np.array(steps, np.float32)[:, None]


def read(given: Array, loss: str, out_size: int = 3, validation: Array | None = None, **fields: Any) -> Plan:
    """Return the plan of one row with these targets."""
    held_out = None if validation is None else Dataset(np.zeros((validation.shape[0], 1, 1), np.float32), validation)
    data = Dataset(np.zeros((given.shape[0], 1, 1), np.float32), given, held_out)
    return split(data, out_size, 1, TrainingSpec.model_validate({"loss": loss, **fields}))[0]


def test_class_indices_become_probabilities() -> None:
    plan = read(targets([2], [0], [1]), "cross_entropy")
    assert plan.targets[:, 0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("loss", "given"),
    [
        ("cross_entropy", targets([1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.333, 0.333, 0.333])),
        ("binary_cross_entropy", targets([0, 0, 0], [1, 1, 1], [0.25, 0, 1])),
        ("mse", targets([2, 3, -4])),
    ],
)
def test_targets_that_the_loss_can_compare_with_are_kept(loss: str, given: Array) -> None:
    assert np.array_equal(read(given, loss).targets, given)


@pytest.mark.parametrize(
    ("loss", "faulty", "expected"),
    [
        ("cross_entropy", [2, 3, -4], "numbers from 0 to 1"),
        ("cross_entropy", [1.001, 0, 0], "numbers from 0 to 1"),
        ("cross_entropy", [0, 0, 0], "a sum of 1 ± 0.001"),
        ("cross_entropy", [0.5, 0.5, 0.002], "a sum of 1 ± 0.001"),
        ("cross_entropy", [0.5, 0.498, 0], "a sum of 1 ± 0.001"),
        ("binary_cross_entropy", [2, 0, 0], "numbers from 0 to 1"),
        ("binary_cross_entropy", [0, -1, 0], "numbers from 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused(loss: str, faulty: list[float], expected: str) -> None:
    sound = [1.0, 0.0, 0.0]
    with pytest.raises(InvalidInput, match="step 2, row 0") as caught:
        read(targets(sound, sound, faulty, faulty), loss, skip=1)
    assert (caught.value.pointer, caught.value.expected) == ("/data/targets", expected)
    with pytest.raises(InvalidInput, match="step 0, row 0") as caught:
        read(targets(sound), loss, validation=targets(faulty))
    assert caught.value.pointer == "/data/validation/targets"


@pytest.mark.parametrize("index", [-1, 3, 0.5])
def test_what_is_no_class_index_is_refused(index: float) -> None:
    with pytest.raises(InvalidInput, match="step 1, row 0") as caught:
        read(targets([0], [index]), "cross_entropy")
    assert (caught.value.pointer, caught.value.expected) == ("/data/targets", "whole numbers from 0 to 2")


def test_targets_of_steps_that_are_not_scored_may_be_anything() -> None:
    plan = read(targets([-1], [-1], [2]), "cross_entropy", warmup=1, skip=1)
    assert plan.targets[:, 0].tolist() == [[0, 0, 1]]
