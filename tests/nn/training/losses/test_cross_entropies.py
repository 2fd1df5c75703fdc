"""Both cross entropies where a careless formula would lose its digits."""

import numpy as np
import pytest

from cellar.engine import KernelCache
from tests.nn.training.update.test_compiled_loss import make_loss


def test_a_confident_right_answer_still_has_a_loss(cache: KernelCache) -> None:
    logit, one = np.full((1, 1, 1), 30, np.float32), np.ones((1, 1, 1), np.float32)
    loss = make_loss("binary_cross_entropy", 1, cache).measure(logit, one, None)[0]
    assert loss[0, 0, 0] == pytest.approx(np.exp(-30.0), rel=1e-5)


def test_logits_beyond_the_range_of_exp_are_no_trouble(cache: KernelCache) -> None:
    logits = np.array([[[500.0, -500.0]]], np.float32)
    target = np.array([[[0.0, 1.0]]], np.float32)
    assert make_loss("cross_entropy", 2, cache).measure(logits, target, None)[0][0, 0, 0] == 1000
    assert make_loss("binary_cross_entropy", 2, cache).measure(logits, target, None)[0][0, 0, 0] == 500
