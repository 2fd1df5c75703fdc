"""Carries out the long runs of optimisers, for the tests and for `make matrix`, which has no pytest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from cellar.engine import KernelCache
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.training.optimisers import OptimiserSpec
from cellar.nn.training.update.compiled_optimiser import CompiledOptimiser
from tests.nn.golden.long_runs import KEPT, WEIGHTS, gradients

Array = NDArray[Any]

TOLERANCE = 1e-5
"""Of the largest number that a weight has been so far; more only where PyTorch's float32 errs more too."""


def run(spec: dict[str, Any], cache: KernelCache) -> Array:
    """Return the weights (6, WEIGHTS) after the updates that golden runs keep."""
    optimiser = CompiledOptimiser(TypeAdapter[Any](OptimiserSpec).validate_python(spec), WEIGHTS, Arithmetic(cache))
    weights, state, kept = np.zeros(WEIGHTS, np.float32), optimiser.start(), []
    for number, gradient in enumerate(gradients(), 1):
        update = optimiser.update(weights, gradient, state, spec["learning_rate"])
        assert update.finite
        weights, state = update.weights, update.state
        if number in KEPT:
            kept.append(weights)
    return np.stack(kept)


def errors(found: Array, truth: Array) -> Array:
    """Return how far weights are from the truth, by the largest number that each of them has been so far."""
    largest = np.maximum.accumulate(np.abs(truth), axis=0)
    return np.asarray(np.abs(found - truth) / largest)
