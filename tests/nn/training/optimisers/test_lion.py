"""Lion, which PyTorch has not, against its paper."""

import numpy as np

from cellar.engine import KernelCache
from tests.nn.training.update.test_compiled_optimiser import make_optimiser


def test_lion_steps_by_the_sign(cache: KernelCache) -> None:
    rng = np.random.default_rng(0)
    optimiser = make_optimiser({"type": "lion", "learning_rate": 0.01, "weight_decay": 0.1}, 50, cache)
    weights = rng.standard_normal(50).astype(np.float32)
    expected, momentum, state = weights.astype(np.float64), np.zeros(50), optimiser.start()
    for _ in range(5):
        gradient = rng.standard_normal(50).astype(np.float32)
        gradient[:2] = 0
        update = optimiser.update(weights, gradient, state, 0.01)
        weights, state = update.weights, update.state
        expected -= 0.01 * (np.sign(0.9 * momentum + 0.1 * gradient) + 0.1 * expected)
        momentum = 0.99 * momentum + 0.01 * gradient
        np.testing.assert_allclose(weights, expected, atol=1e-6)
