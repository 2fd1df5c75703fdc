"""Losses that fall alike may be timed; others may not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.agreement import Disagreement
from benchmarks.cases import Case
from benchmarks.training import check_losses, draw_data, trainer
from benchmarks.weights import draw_weights
from cellar.engine import KernelCache

FALLING = [1.0, 0.9, 0.8, 0.7, 0.6]


def test_losses_that_agree_pass() -> None:
    check_losses(iter(FALLING), {"other": iter([loss * 1.00001 for loss in FALLING])})


def test_losses_that_part_do_not() -> None:
    with pytest.raises(Disagreement, match="other"):
        check_losses(iter(FALLING), {"same": iter(FALLING), "other": iter([*FALLING[:-1], 0.601])})


def test_a_loss_that_does_not_fall_proves_nothing() -> None:
    with pytest.raises(Disagreement, match="does not fall"):
        check_losses(iter([0.5] * 5), {"other": iter([0.5] * 5)})


def test_the_trainer_learns_for_longer_than_one_epoch(kernel_directory: Path) -> None:
    case = Case("lstm", 2, 3, steps=4, rows=5)
    random = np.random.default_rng(0)
    cache = KernelCache(kernel_directory)
    losses = trainer(cache, case, draw_weights(case, random), draw_data(case.of(4, 2 * case.rows), random))
    of_epochs = [next(losses) for _ in range(20)][1::2]
    assert of_epochs == sorted(of_epochs, reverse=True)
