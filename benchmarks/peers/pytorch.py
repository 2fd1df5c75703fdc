"""Runs a case in PyTorch, with the layer over a sequence and with the cell in a loop, both in inference mode."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.cases import Case
from benchmarks.runner import Runner
from benchmarks.weights import Array, Weights

_LAYERS = {"lstm": nn.LSTM, "gru_torch": nn.GRU}
_CELLS = {"lstm": nn.LSTMCell, "gru_torch": nn.GRUCell}


def runners(case: Case, weights: Weights, threads: int) -> list[Runner]:
    """Return the runners of both ways."""
    torch.set_num_threads(threads)
    return [_Whole(case, weights), _Cells(case, weights)]


def recurrent(case: Case, weights: Weights) -> Any:
    """Return all recurrent layers as one module."""
    module = _LAYERS[case.cell](case.in_size, case.hidden, case.layers)
    _fill(module, {f"{name}_l{index}": a for index in range(case.layers) for name, a in _arrays(weights, index)})
    return module


def _arrays(weights: Weights, index: int) -> list[tuple[str, Array]]:
    """Return the parameters of a layer by PyTorch's names, gates below each other."""
    layer = weights.layers[index]
    names = {"weight_ih": layer.wi, "weight_hh": layer.wh, "bias_ih": layer.bi, "bias_hh": layer.bh}
    return [(name, array.reshape(-1, *array.shape[2:])) for name, array in names.items()]


def _fill(module: Any, arrays: dict[str, Array]) -> None:
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(array))


def _head(case: Case, weights: Weights) -> Any:
    if weights.head is None:
        return nn.Identity()
    head = nn.Linear(case.hidden, 1)
    _fill(head, {"weight": weights.head[0], "bias": weights.head[1]})
    return head


class _Whole:
    """A runner with `nn.LSTM` or `nn.GRU`: one call for all layers and steps."""

    name = "pytorch layer"

    def __init__(self, case: Case, weights: Weights) -> None:
        self._recurrent = recurrent(case, weights).eval()
        self._head = _head(case, weights)
        self.step = torch.inference_mode()(self._step_two if case.cell == "lstm" else self._step_one)

    def begin(self, states: Array) -> tuple[Array, ...]:
        """Return `h` (layers, B, hidden), and an LSTM's `c`."""
        return tuple(np.ascontiguousarray(states[:, which]) for which in range(states.shape[1]))

    def states(self, state: tuple[Array, ...]) -> Array:
        """Return them as one array again."""
        return np.stack(state, axis=1)

    def _step_two(self, inputs: Array, state: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        before = (torch.from_numpy(state[0]), torch.from_numpy(state[1]))
        outputs, (h, c) = self._recurrent(torch.from_numpy(inputs), before)
        return self._head(outputs).numpy(), (h.numpy(), c.numpy())

    def _step_one(self, inputs: Array, state: tuple[Array]) -> tuple[Array, tuple[Array]]:
        outputs, h = self._recurrent(torch.from_numpy(inputs), torch.from_numpy(state[0]))
        return self._head(outputs).numpy(), (h.numpy(),)


class _Cells:
    """A runner with `nn.LSTMCell` or `nn.GRUCell`, called for each layer and step."""

    name = "pytorch cell"

    def __init__(self, case: Case, weights: Weights) -> None:
        self._cells = [_CELLS[case.cell](size, case.hidden).eval() for size in case.sizes]
        for index, cell in enumerate(self._cells):
            _fill(cell, dict(_arrays(weights, index)))
        self._head = _head(case, weights)
        self._count = 2 if case.cell == "lstm" else 1
        self.step = torch.inference_mode()(self._step)

    def begin(self, states: Array) -> list[Array]:
        """Return the states (B, hidden) of all layers, one after the other."""
        return list(states.reshape(-1, *states.shape[2:]).copy())

    def states(self, state: list[Array]) -> Array:
        """Return them as one array again."""
        return np.stack(state).reshape(len(self._cells), self._count, *state[0].shape)

    def _step(self, inputs: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        count = self._count
        tensors = [torch.from_numpy(array) for array in state]
        edges = list(pairwise(range(0, len(state) + 1, count)))
        outputs = []
        for signal in torch.from_numpy(inputs):
            for cell, (start, end) in zip(self._cells, edges, strict=True):
                if count == 1:
                    tensors[start] = signal = cell(signal, tensors[start])  # noqa: PLW2901  # the next input
                else:
                    tensors[start:end] = cell(signal, tensors[start:end])
                    signal = tensors[start]  # noqa: PLW2901  # the next layer reads it
            outputs.append(signal)
        whole = outputs[0][None] if len(outputs) == 1 else torch.stack(outputs)
        return self._head(whole).numpy(), [tensor.numpy() for tensor in tensors]
