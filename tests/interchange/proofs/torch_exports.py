"""Random modules of PyTorch that torch.onnx exports, imported and compared with the module. Needs torch."""

import io
from typing import Any

import numpy as np
import torch
from torch import nn

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.onnx import import_onnx
from tests.interchange.proofs.outcome import Outcome, difference, run

Random = np.random.Generator

FUNCTIONS = (nn.Tanh, nn.ReLU, nn.Sigmoid, nn.ELU, nn.SiLU, nn.LeakyReLU, nn.Softplus, nn.Hardsigmoid, nn.Softsign)


class Exported(nn.Module):  # type: ignore[misc]  # torch ships no types here
    """Recurrent and other modules one after the other; answers every step, or the last one."""

    def __init__(self, modules: list[Any], *, batch_first: bool, last: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.batch_first, self.last = batch_first, last

    def forward(self, x: Any) -> Any:
        """Return outputs in the order of axes of x."""
        for part in self.parts:
            x = part(x)[0] if isinstance(part, nn.RNNBase) else part(x)
        if self.last:
            return x[:, -1] if self.batch_first else x[-1]
        return x


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare random modules."""
    outcome = Outcome()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        torch.manual_seed(int(rng.integers(2**31)))
        module, ids, size = draw(rng)
        name = f"{index} {' '.join(part.__class__.__name__ for part in module.parts)}"
        try:
            outcome.add(name, compare(module, ids, size, rng, cache))
        except ImportRefused as error:
            outcome.refuse(error.detail)
            outcome.wrong.append(f"{name}: refused: {error.detail}")
    return outcome


def draw(rng: Random) -> tuple[Exported, int, int]:
    """Return a random module, how many ids it reads (0 for numbers), and how many numbers."""
    batch_first = bool(rng.integers(2))
    width = size = int(rng.integers(1, 6))
    ids = 9 if rng.random() < 0.2 else 0
    parts: list[Any] = [nn.Embedding(ids, width)] if ids else []
    both = False
    for _ in range(int(rng.integers(1, 3))):
        hidden, twice = int(rng.integers(1, 7)), bool(rng.random() < 0.3)
        kind = (nn.LSTM, nn.GRU, nn.RNN)[rng.integers(3)]
        more: dict[str, Any] = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if kind is nn.RNN else {}
        layers = int(rng.integers(1, 3))
        more |= {"bias": bool(rng.random() < 0.8), "bidirectional": twice, "batch_first": batch_first}
        parts.append(kind(width, hidden, layers, **more))
        width, both = hidden * (1 + twice), both or twice
        if rng.random() < 0.3:
            parts.append(nn.LayerNorm(width, eps=float(rng.choice([1e-5, 1e-3]))))
        if rng.random() < 0.6:
            out = int(rng.integers(1, 6))
            parts.append(nn.Linear(width, out, bias=bool(rng.random() < 0.8)))
            width = out
        if rng.random() < 0.4:
            parts.append(FUNCTIONS[rng.integers(len(FUNCTIONS))]())
    return Exported(parts, batch_first=batch_first, last=bool(rng.random() < 0.3)).eval(), ids, size


def compare(module: Exported, ids: int, size: int, rng: Random, cache: KernelCache) -> float:
    """Return the largest difference of the answers."""
    steps, rows = int(rng.integers(2, 8)), int(rng.integers(2, 4))
    shape = (rows, steps) if module.batch_first else (steps, rows)
    inputs = rng.integers(0, ids, shape) if ids else rng.normal(size=(*shape, size)).astype(np.float32)
    x = torch.from_numpy(inputs)
    file = io.BytesIO()
    axes = {"x": {0: "first", 1: "second"}} if rng.random() < 0.7 else None
    torch.onnx.export(module, (x,), file, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=axes)
    fed = np.asarray(inputs[..., None] if ids else inputs, np.float32)
    found = run(import_onnx(file.getvalue()), fed.swapaxes(0, 1) if module.batch_first else fed, cache).outputs
    with torch.no_grad():
        expected = module(x).numpy()
    if module.last:
        return difference(found[-1], expected)
    return difference(found.swapaxes(0, 1) if module.batch_first else found, expected)
