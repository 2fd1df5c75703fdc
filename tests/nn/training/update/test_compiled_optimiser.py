"""Optimisers: whole training runs against PyTorch; unusual gradients."""

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from cellar.engine import KernelCache
from cellar.nn.execution.array_functions import Arithmetic
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.optimisers import OptimiserSpec
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.nn.training.update.compiled_optimiser import CompiledOptimiser
from tests.nn import oracle
from tests.nn.golden.cases import RUNS, TRAINED, UPDATES
from tests.nn.golden.read import assert_float32, part, read


def make_optimiser(spec: Any, size: int, cache: KernelCache) -> CompiledOptimiser:
    """Return the optimiser of a JSON specification."""
    return CompiledOptimiser(TypeAdapter[OptimiserSpec](OptimiserSpec).validate_python(spec), size, Arithmetic(cache))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_follows_pytorch(name: str, cache: KernelCache) -> None:
    golden = read("training")
    network = CompiledNetwork(oracle.make_network(TRAINED), cache)
    spec = TrainingSpec.model_validate({"optimiser": RUNS[name], "epochs": UPDATES})
    data = Dataset(golden["inputs"], golden["targets"])
    *_, last = fit(network, part(golden, "weight."), data, spec)
    assert last.finished
    assert_float32(np.array([record.loss for record in last.history]), golden, f"{name}.losses")
    for key, weight in last.weights().items():
        assert_float32(weight, golden, f"{name}.weight.{key}")


def test_an_infinite_gradient_is_noticed(cache: KernelCache) -> None:
    for kind in ("sgd", "momentum", "nesterov", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "lion"):
        optimiser = make_optimiser(kind, 3, cache)
        gradient = np.array([1, np.inf, 1], np.float32)
        assert not optimiser.update(np.ones(3, np.float32), gradient, optimiser.start(), 0.1).finite, kind


def test_clipping_leaves_a_small_gradient_alone(cache: KernelCache) -> None:
    weights, gradient = np.ones(4, np.float32), np.array([0.1, -0.2, 0.3, 0], np.float32)
    plain = make_optimiser("sgd", 4, cache)
    clipped = make_optimiser({"type": "sgd", "clip_norm": 10.0, "clip_value": 1.0}, 4, cache)
    results = [o.update(weights, gradient, o.start(), 0.1).weights.tobytes() for o in (plain, clipped)]
    assert results[0] == results[1]
