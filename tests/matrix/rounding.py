"""PyTorch's training in float32 with tanh and sigmoid rounded as Cellar's are.

Two correct functions of float32 differ in the last place. Where a unit is nearly saturated, that is all that is left of
its gradient: just below y = 1 the factor 1 - y * y is a small multiple of 1.2e-7, so that one last place more or less
halves or doubles it. An input of 1000 carries the difference into the weights, and the next update multiplies it again.
With PyTorch's own tanh one place higher or lower, at random, its trainings end up to twice the size of a weight apart.

Cellar's functions are held against exact ones in tests/engine/kernel_library/test_elementary_functions.py (2 places at
most for tanh). With
them in PyTorch's training, in forward and backward, the rest of the training can be compared there, too: the layers,
the losses, the regimes and the optimisers remain PyTorch's own.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from cellar.engine import KernelCache
from tests.engine.probe import Probe
from tests.matrix.cases import Case
from tests.matrix.peer import CELLS, Cells, Trained, gate, train
from tests.nn.golden.make import Tensors

Weights = Mapping[str, NDArray[np.float32]]

_LANES = 16


class Activations:
    """Cellar's tanh and sigmoid, in the machine code that its kernels have, for PyTorch's tensors."""

    def __init__(self, kernels: Path | None) -> None:
        self._probe = Probe(KernelCache(kernels))

    def __call__(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Return a function of each element."""
        flat = x.detach().contiguous().numpy().reshape(-1)
        padded = np.zeros(-(-flat.size // _LANES) * _LANES, np.float32)
        padded[: flat.size] = flat
        return torch.from_numpy(self._probe(padded)[name][: flat.size].copy()).reshape(x.shape)

    def train(self, case: Case, initial: Weights) -> Trained:
        """Train in float32, with these in the place of PyTorch's."""
        with _Instead(self):
            return train(case, initial, torch.float32, BY_STEP)


def one_place_away(weights: Weights, seed: int) -> dict[str, NDArray[np.float32]]:
    """Return weights each of which is the next float32 above or below, by seed; 0 stays."""
    draws = np.random.default_rng(seed)
    moved = {}
    for name, value in weights.items():
        towards = np.where(draws.random(value.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
        moved[name] = np.where(value == 0, value, np.nextafter(value, towards)).astype(np.float32)
    return moved


_NAMES: dict[Callable[..., Any], str] = {
    torch.tanh: "tanh",
    torch.Tensor.tanh: "tanh",
    torch.sigmoid: "sigmoid",
    torch.Tensor.sigmoid: "sigmoid",
}


class _Instead(TorchFunctionMode):  # type: ignore[misc]  # torch is not installed where types are checked
    """Computes tanh and sigmoid otherwise."""

    def __init__(self, activations: Activations) -> None:
        super().__init__()
        self._activations = activations

    def __torch_function__(self, func: Any, types: Sequence[Any], args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of PyTorch's, or what stands for it."""
        if func in _NAMES:
            return _Activation.apply(args[0], _NAMES[func], self._activations)
        return func(*args, **(kwargs or {}))


class _Activation(torch.autograd.Function):  # type: ignore[misc]  # as above
    """A function of Cellar's with the gradient that PyTorch gives it: from its result."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, name: str, activations: Activations) -> torch.Tensor:
        """Return the function of x."""
        y = activations(name, x)
        ctx.name = name
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the gradient with regard to x."""
        (y,) = ctx.saved_tensors
        return gradient * ((1 - y * y) if ctx.name == "tanh" else (1 - y) * y), None, None


# --- PyTorch's fused layers, a step each: their activations cannot be replaced ----------------------------------------


def _rnn(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    h = torch.tanh(F.linear(x, w["Wi"]) + F.linear(s["h"], w["Wh"]) + w["b"])
    return h, {"h": h}


def _lstm(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    i, f, o = (torch.sigmoid(gate(w, x, s["h"], name)) for name in "ifo")
    c = f * s["c"] + i * torch.tanh(gate(w, x, s["h"], "g"))
    h = o * torch.tanh(c)
    return h, {"c": c, "h": h}


def _gru(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    r, z = (torch.sigmoid(gate(w, x, s["h"], name)) for name in "rz")
    n = torch.tanh(F.linear(x, w["Wi_n"], w["b_n"]) + r * F.linear(s["h"], w["Wh_n"]))
    h = (1 - z) * n + z * s["h"]
    return h, {"h": h}


def _gru_torch(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    of_x = {name: F.linear(x, w[f"Wi_{name}"], w[f"b_i{name}"]) for name in "rzn"}
    of_h = {name: F.linear(s["h"], w[f"Wh_{name}"], w[f"b_h{name}"]) for name in "rzn"}
    r, z = (torch.sigmoid(of_x[name] + of_h[name]) for name in "rz")
    n = torch.tanh(of_x["n"] + r * of_h["n"])
    h = (1 - z) * n + z * s["h"]
    return h, {"h": h}


BY_STEP: Cells = {
    **CELLS,
    "rnn": (_rnn, ("h",)),
    "lstm": (_lstm, ("c", "h")),
    "gru": (_gru, ("h",)),
    "gru_torch": (_gru_torch, ("h",)),
}
