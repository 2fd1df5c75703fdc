"""A small training run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from tests.nn.golden.cases import dense, network, recurrent
from tests.nn.oracle import make_network

TWO = (recurrent("gru", 4), dense(2))


def losses(cache: KernelCache, layers: Sequence[dict[str, Any]] = TWO, **fields: Any) -> list[float]:
    """Return the loss of each epoch of a run with these settings, on one input and two outputs.

    It is to say whether the sum of the inputs so far is positive: targets are probabilities of two classes.
    """
    compiled = CompiledNetwork(make_network(network(1, *layers)), cache)
    inputs = np.random.default_rng(0).normal(size=(12, 16, 1)).astype(np.float32)
    positive = (inputs.cumsum(axis=0) > 0).astype(np.float32)
    data = Dataset(inputs, np.concatenate([positive, 1 - positive], axis=2))
    spec = TrainingSpec.model_validate({"epochs": 8, "batch_size": 4, **fields})
    *_, last = fit(compiled, compiled.network.init(0), data, spec)
    return [record.loss for record in last.history]
