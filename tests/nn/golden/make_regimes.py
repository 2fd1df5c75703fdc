"""Runs the loops of Flux's pages on recurrent models in PyTorch, and writes `regimes.safetensors` beside this file.

python -m tests.nn.golden.make_regimes, with `--compare` against jobs with the same fields, and without writing.

The loops are those of https://fluxml.ai/Flux.jl/v0.14/models/recurrence/ and its successor, step by step, with a model
that keeps its state as `Flux.Recur` does. Needs torch; only the comparison needs Cellar. As in `make`, every result is
there twice: `64.` in float64, the reference, and `32.` in float32.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from safetensors.numpy import save

from tests.nn.golden.make import DTYPES, STATES, Tensors, draw, forward, kind, shapes, tensors
from tests.nn.golden.regimes import ORDERS, REGIMES, Regime

HERE = Path(__file__).parent

Data = list[torch.Tensor]
"""A sequence as Flux has it: a matrix (samples, features) for each step."""


class Model:
    """A chain that keeps its state from call to call, and the optimiser of its weights."""

    def __init__(self, regime: Regime, weights: Tensors) -> None:
        self.weights = weights
        self._spec, self._rows = regime.network, regime.rows
        chosen = regime.fields["optimiser"]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self._optimiser = kinds[chosen["type"]](list(weights.values()), lr=chosen["learning_rate"])
        self.reset()

    def reset(self) -> None:
        """Begin a sequence: `Flux.reset!`."""
        rows = [
            self.weights.get(f"{at}.{name}0", torch.zeros(layer["hidden_size"], dtype=self.dtype))
            for at, layer in enumerate(self._spec["layers"])
            for name in STATES[kind(layer)]
        ]
        self._state = torch.cat(rows).expand(self._rows, -1)

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of its numbers."""
        return next(iter(self.weights.values())).dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of a step, and go to the next state."""
        output, self._state = forward(self._spec, self.weights, x[None], self._state[: len(x)])
        return output[0]

    def update(self, loss: torch.Tensor) -> None:
        """Change the weights. The state stays, and is a constant from now on."""
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._state = self._state.detach()


def summed(m: Model, x: Data, y: Data) -> torch.Tensor:
    """Return the loss of the page: sum(mse(m(xi), yi) for (xi, yi) in zip(x, y))."""
    return torch.stack([F.mse_loss(m(xi), yi) for xi, yi in zip(x, y, strict=True)]).sum()


def whole(m: Model, x: Data, y: Data) -> torch.Tensor:
    """Return the loss of the newer page: mse of all outputs together."""
    m.reset()
    return F.mse_loss(torch.stack([m(xi) for xi in x]), torch.stack(y))


def mse_of_all_outputs(m: Model, x: Data, y: Data, _: str) -> None:
    """`gradient(m -> loss(m, x, y), model)` and `update!`, three times."""
    for _epoch in range(3):
        m.update(whole(m, x, y))


def sum_over_time(m: Model, x: Data, y: Data, _: str) -> None:
    """One update with the loss summed over the steps."""
    m.update(summed(m, x, y))


def first_output_ignored(m: Model, x: Data, y: Data, _: str) -> None:
    """`m(x[1])` changes the state, and its gradient flows."""
    m(x[0])
    m.update(summed(m, x[1:], y))


def sequence_to_one(m: Model, x: Data, y: Data, _: str) -> None:
    """The loss of the last output."""
    outputs = [m(xi) for xi in x]
    m.update(F.mse_loss(outputs[-1], y[0]))


def warm_up_then_batches_that_continue(m: Model, x: Data, y: Data, _: str) -> None:
    """`reset!`, `seq_init` outside of the gradient, then `train!` over `seq_1` and `seq_2`."""
    m.reset()
    with torch.no_grad():
        m(x[0])
    for begin in (0, 3):
        m.update(summed(m, x[1 + begin : 4 + begin], y[begin : begin + 3]))


def state_carried_and_reset_at_every_epoch(m: Model, x: Data, y: Data, _: str) -> None:
    """`reset!` before each `train!`, whose batches continue each other."""
    for _epoch in range(2):
        m.reset()
        for begin in (0, 3):
            m.update(summed(m, x[begin : begin + 3], y[begin : begin + 3]))


def reset_before_each_batch(m: Model, x: Data, y: Data, order: str) -> None:
    """`Flux.reset!(m)` inside of the loss: batches are independent sequences."""
    for row in map(int, order):
        m.reset()
        m.update(summed(m, [xi[row : row + 1] for xi in x], [yi[row : row + 1] for yi in y]))


def one_update_of_all(m: Model, x: Data, y: Data, _: str) -> None:
    """`gradient(m -> Flux.mse(m(x), y), model)` with the whole sequence at once, and `update!`."""
    m.update(whole(m, x, y))


def two_updates_of_all(m: Model, x: Data, y: Data, _: str) -> None:
    """The same twice, for chains of several layers."""
    for _epoch in range(2):
        m.update(whole(m, x, y))


LOOPS: dict[str, Callable[[Model, Data, Data, str], None]] = {
    "mse_of_all_outputs": mse_of_all_outputs,
    "sum_over_time": sum_over_time,
    "first_output_ignored": first_output_ignored,
    "sequence_to_one": sequence_to_one,
    "warm_up_then_batches_that_continue": warm_up_then_batches_that_continue,
    "state_carried_and_reset_at_every_epoch": state_carried_and_reset_at_every_epoch,
    "reset_before_each_batch": reset_before_each_batch,
    "batch_of_features_by_samples": sum_over_time,
    "tensor_of_features_steps_samples": one_update_of_all,
    "stacked_layers": two_updates_of_all,
    "trained_initial_states": two_updates_of_all,
}


def made(name: str, seed: int) -> dict[str, Any]:
    """Return the arrays of a regime: first weights, and those after the loop, by type and order of the batches."""
    regime, rng = REGIMES[name], np.random.default_rng(seed)
    first = {key: draw(rng, *shape, scale=0.5) for key, shape in shapes(regime.network).items()}
    arrays: dict[str, Any] = {f"{name}.weight.{key}": value.astype(np.float32) for key, value in first.items()}
    for bits, dtype in DTYPES.items():
        x, y = (list(torch.tensor(part, dtype=dtype)) for part in regime.data().values())
        for order in ORDERS if name == "reset_before_each_batch" else ORDERS[:1]:
            model = Model(regime, tensors(first, dtype, grad=True))
            LOOPS[name](model, x, y, order)
            arrays |= {f"{bits}.{name}.{order}.{key}": value.detach().numpy() for key, value in model.weights.items()}
    return arrays


def compare(seeds: int) -> None:
    """Print for each regime how far the weights of a job are from those of the loop, over several first weights."""
    from tests.nn.golden.regime_job import farthest  # with Cellar, which the files alone do not need

    for name in REGIMES:
        found = [farthest(name, made(name, seed)) for seed in range(seeds)]
        ours, theirs = (max(each) for each in zip(*found, strict=True))
        sys.stdout.write(f"{name:40} float32: Cellar {ours:.1e}, PyTorch {theirs:.1e} from PyTorch in float64\n")


def main() -> None:
    """Write the file, or compare."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--compare", action="store_true", help="train with Cellar too, and print the differences")
    options.add_argument("--seeds", type=int, default=10, help="first weights of each comparison")
    asked = options.parse_args()
    torch.set_num_threads(1)
    if asked.compare:
        compare(asked.seeds)
        return
    arrays: dict[str, Any] = {}
    for index, name in enumerate(REGIMES):
        arrays |= made(name, index)
    (HERE / "regimes.safetensors").write_bytes(save({key: np.ascontiguousarray(each) for key, each in arrays.items()}))


if __name__ == "__main__":
    main()
