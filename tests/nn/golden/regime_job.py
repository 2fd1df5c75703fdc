"""Trains by the fields of a regime, as a job does, and compares the weights with those of PyTorch."""

from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine import KernelCache
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.training.data.dataset import Dataset
from cellar.nn.training.spec import TrainingSpec
from cellar.nn.training.trainer import fit
from cellar.wire.arrays.layout import from_tbf, to_tbf
from tests.nn import oracle
from tests.nn.golden.read import part
from tests.nn.golden.regimes import ORDERS, REGIMES

Arrays = dict[str, NDArray[Any]]


def trained(name: str, first: Arrays, kernels: KernelCache) -> Arrays:
    """Return the weights after a job with the fields of the regime, whose data come in its layout."""
    regime = REGIMES[name]
    compiled = CompiledNetwork(oracle.make_network(regime.network), kernels)
    inputs, targets = (
        to_tbf(np.ascontiguousarray(from_tbf(each, regime.layout)), regime.layout) for each in regime.data().values()
    )
    spec = TrainingSpec.model_validate(regime.fields)
    *_, last = fit(compiled, first, Dataset(inputs, targets), spec)
    return last.weights()


def distances(found: Arrays, arrays: Arrays, name: str) -> tuple[float, float]:
    """Return how far weights, and those of PyTorch in float32, are from PyTorch's in float64, in the nearest order."""

    def farthest_of(weights: Arrays, order: str) -> float:
        truth = part(arrays, f"64.{name}.{order}.")
        return max(float(np.abs(weights[key] - truth[key]).max()) for key in truth)

    orders = [order for order in ORDERS if f"64.{name}.{order}.0.Wi" in arrays or order == ORDERS[0]]
    nearest = min(orders, key=lambda order: farthest_of(found, order))
    return farthest_of(found, nearest), farthest_of(part(arrays, f"32.{name}.{nearest}."), nearest)


@cache
def _kernels() -> KernelCache:
    return KernelCache(Path(gettempdir(), "cellar-regimes"))


def farthest(name: str, arrays: Arrays) -> tuple[float, float]:
    """Train, and return `distances`."""
    return distances(trained(name, part(arrays, f"{name}.weight."), _kernels()), arrays, name)
