"""What has one job each beside PyTorch as it is installed: every setting, and every optimiser over 3,000 updates."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from cellar.engine import KernelCache
from tests.matrix import settings_peer
from tests.matrix.compare import Result, agrees
from tests.matrix.job import Rig
from tests.matrix.peer import Lion
from tests.matrix.settings import SETTINGS
from tests.nn import long_runs
from tests.nn.golden import make_long_runs
from tests.nn.golden.long_runs import KEPT, LONG_RUNS, WEIGHTS, gradients

Line = tuple[str, float, bool]
"""A name, how far it is from PyTorch, and whether that is no further than rounding explains."""

LION = {"type": "lion", "learning_rate": 0.001, "weight_decay": 0.01}


def settings(rig: Rig, only: str) -> Iterator[Line]:
    """Carry out a job with each setting, and compare losses and weights."""
    for setting in SETTINGS:
        if only not in setting.name:
            continue
        outcome, initial = rig.run(setting), rig.initial(setting)
        peers = (settings_peer.train(setting, initial, dtype) for dtype in (torch.float64, torch.float32))
        exact, rounded = (Result(peer.losses, peer.weights) for peer in peers)
        if outcome.error is not None:
            yield f"{setting.name} ({outcome.error})", float("inf"), False
            continue
        right, far = agrees(Result(outcome.losses, outcome.weights), exact, rounded)
        yield setting.name, far, right


def optimisers(kernels: Path | None, only: str) -> Iterator[Line]:
    """Update weights 3,000 times by gradients from 1e-12 to 1e6, and compare the weights on the way."""
    cache = KernelCache(kernels)
    for name, spec in (LONG_RUNS | {"lion": LION}).items():
        if only not in name:
            continue
        exact, rounded = (_long_run(spec, dtype) for dtype in (torch.float64, torch.float32))
        far = float(long_runs.errors(long_runs.run(spec, cache), exact).max())
        least = 2 * long_runs.TOLERANCE if spec is LION else long_runs.TOLERANCE  # as in tests/nn/test_long_runs.py
        bound = max(least, 2 * float(long_runs.errors(rounded, exact).max()))
        yield f"{name}, lr {spec['learning_rate']:g}, 3,000 updates", far, far <= bound


def _long_run(spec: dict[str, object], dtype: torch.dtype) -> np.ndarray:
    if spec["type"] != "lion":
        return make_long_runs.run(spec, dtype)
    weights = torch.zeros(WEIGHTS, dtype=dtype)
    lion, kept = Lion([weights], spec), []
    for number, gradient in enumerate(gradients(), 1):
        weights.grad = torch.tensor(gradient, dtype=dtype)
        lion.step()
        if number in KEPT:
            kept.append(weights.numpy().copy())
    return np.stack(kept)
