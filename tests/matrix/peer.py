"""The same training in PyTorch: layers, regimes and updates, written from their documentation and papers.

Of Cellar it has the weights to begin with and the order of the batches, which follow from seeds.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that PyTorch's documentation gives it
from numpy.typing import NDArray

from cellar.nn.numerics.random_streams import permutation
from tests.matrix.cases import SEED, Case
from tests.nn.golden import make
from tests.nn.golden.make import Tensors
from tests.nn.golden.make_long_runs import optimiser_of as adaptive

Spec = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trained:
    """The loss of each epoch and the weights; None for one that is not finite."""

    losses: NDArray[np.float64]
    weights: dict[str, NDArray[Any]]
    finite: bool


# --- layers -----------------------------------------------------------------------------------------------------------


def gate(w: Tensors, x: torch.Tensor, h: torch.Tensor, name: str) -> torch.Tensor:
    """Return what a gate is the activation of."""
    return F.linear(x, w[f"Wi_{name}"]) + F.linear(h, w[f"Wh_{name}"]) + w[f"b_{name}"]


def _lstm_peephole(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    h, c = s["h"], s["c"]
    keep = torch.sigmoid(gate(w, x, h, "f") + w["P_f"] * c)
    c = keep * c + torch.sigmoid(gate(w, x, h, "i") + w["P_i"] * c) * torch.tanh(gate(w, x, h, "g"))
    h = torch.sigmoid(gate(w, x, h, "o") + w["P_o"] * c) * torch.tanh(c)
    return h, {"c": c, "h": h}


def _mgu(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    f = torch.sigmoid(gate(w, x, s["h"], "f"))
    h = (1 - f) * s["h"] + f * torch.tanh(gate(w, x, f * s["h"], "n"))
    return h, {"h": h}


def _mingru(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    z = torch.sigmoid(F.linear(x, w["Wi_z"], w["b_z"]))
    h = (1 - z) * s["h"] + z * F.linear(x, w["Wi_n"], w["b_n"])
    return h, {"h": h}


def _minlstm(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    f, i = (F.logsigmoid(F.linear(x, w[f"Wi_{gate}"], w[f"b_{gate}"])) for gate in "fi")
    h = torch.sigmoid(f - i) * s["h"] + torch.sigmoid(i - f) * F.linear(x, w["Wi_n"], w["b_n"])
    return h, {"h": h}


def _leaky(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    a = torch.sigmoid(w["b_a"])
    h = (1 - a) * s["h"] + a * torch.tanh(F.linear(x, w["Wi"]) + F.linear(s["h"], w["Wh"]) + w["b"])
    return h, {"h": h}


def _lru(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    modulus, angle = torch.exp(-torch.exp(w["Nu"])), 2 * torch.atan(torch.exp(w["Theta"]))
    cosine, sine = modulus * torch.cos(angle), modulus * torch.sin(angle)
    norm = torch.sqrt(torch.clamp(1 - modulus * modulus, min=1e-6))
    re = cosine * s["re"] - sine * s["im"] + norm * F.linear(x, w["B_re"])
    im = sine * s["re"] + cosine * s["im"] + norm * F.linear(x, w["B_im"])
    return F.linear(re, w["C_re"]) - F.linear(im, w["C_im"]) + F.linear(x, w["D"]), {"re": re, "im": im}


def _equations(w: Tensors, x: torch.Tensor, s: Tensors) -> tuple[torch.Tensor, Tensors]:
    a = torch.sigmoid(F.linear(x, w["Wa"]) + F.linear(s["h"], w["Ua"]) + w["b_a"])
    h = a * s["h"] + (1 - a) * torch.tanh(F.linear(x, w["Wn"]) + F.linear(s["h"], w["Un"]))
    return h, {"h": h}


Cells = Mapping[str, tuple[Callable[[Tensors, torch.Tensor, Tensors], tuple[torch.Tensor, Tensors]], tuple[str, ...]]]

CELLS: Cells = {
    "lstm_peephole": (_lstm_peephole, ("c", "h")),
    "mgu": (_mgu, ("h",)),
    "mingru": (_mingru, ("h",)),
    "minlstm": (_minlstm, ("h",)),
    "leaky": (_leaky, ("h",)),
    "lru": (_lru, ("re", "im")),
    "equations": (_equations, ("h",)),
}
"""Those that PyTorch has no module for, a step each, and the names of their states."""

State = dict[str, torch.Tensor]
"""By layer and name, "0.h": (B, size)."""


class Net:
    """A network of a specification, with the weights of Cellar's names."""

    def __init__(self, spec: Spec, weights: Tensors, cells: Cells) -> None:
        self.spec = spec
        self.weights = weights
        self.cells = cells

    def run(self, x: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        """Return outputs (T, B, O) and the state after inputs (T, B, F); None begins with the initial state."""
        self._before, self._number = state, 0
        self._after: State = {}
        for layer in self.spec["layers"]:
            x = self._layer(layer, x)
        return x, self._after

    def _layer(self, layer: Spec, x: torch.Tensor) -> torch.Tensor:
        if layer["type"] == "residual":
            y = x
            for inner in layer["layers"]:
                y = self._layer(inner, y)
            return x + y
        name = str(self._number)
        self._number += 1
        if layer["type"] == "bidirectional":
            forth = self._recurrent(layer["layer"], f"{name}.forward", x, keep=False)
            back = self._recurrent(layer["layer"], f"{name}.reverse", x.flip(0), keep=False).flip(0)
            return torch.cat([forth, back], dim=2)
        own = self._own(name)
        match layer["type"]:
            case "recurrent":
                return self._recurrent(layer, name, x, keep=True)
            case "dense":
                return make.dense(layer, own, x, [])[0]
            case "layer_norm":
                return F.layer_norm(x, x.shape[2:], own["g"], own["b"])
            case "embedding":
                return F.embedding(x[:, :, 0].long(), own["W"])
        raise ValueError(layer["type"])

    def _recurrent(self, layer: Spec, name: str, x: torch.Tensor, *, keep: bool) -> torch.Tensor:
        own = self._own(name)
        cell = layer["cell"] if isinstance(layer["cell"], str) else "equations"
        by_step = cell in self.cells and layer.get("activation", "tanh") == "tanh"
        names = self.cells[cell][1] if by_step else make.STATES[cell]
        if keep and self._before is not None:
            states = {key: self._before[f"{name}.{key}"] for key in names}
        else:
            zero = x.new_zeros(layer["hidden_size"])
            states = {key: own.get(f"{key}0", zero).expand(x.shape[1], -1) for key in names}
        if by_step:
            outputs = []
            for at in x:
                output, states = self.cells[cell][0](own, at, states)
                outputs.append(output)
            y = torch.stack(outputs)
        else:
            y, after = make.LAYERS[cell](layer, own, x, [states[key].contiguous() for key in names])
            states = dict(zip(names, after, strict=True))
        if keep:
            self._after |= {f"{name}.{key}": value for key, value in states.items()}
        return y

    def _own(self, name: str) -> Tensors:
        return {key.removeprefix(f"{name}."): v for key, v in self.weights.items() if key.startswith(f"{name}.")}


# --- regimes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of an update that have equally many steps."""

    rows: list[int]
    begin: int
    """The first step that is fed with gradient; of several rows with other beginnings, `begins` has them."""
    begins: list[int]
    steps: int
    skip: int


def updates(case: Case, steps: int, rows: int, epoch: int) -> Iterator[tuple[list[Part], bool]]:
    """Yield for each update of an epoch its parts, and whether rows begin with the initial state."""
    settings = case.training()
    warmup, skip, size = settings.get("warmup", 0), settings.get("skip", 0), settings["batch_size"]
    longest = steps - warmup
    window = min(settings.get("window") or longest, longest)
    if settings.get("state") == "carry":
        order = permutation(SEED, f"epoch {epoch}", rows).tolist()
        for at in range(0, rows, size):
            chosen = order[at : at + size]
            for begin in range(warmup, steps, window):
                first = begin == warmup
                length = min(window, steps - begin)
                yield [Part(chosen, begin, [begin] * len(chosen), length, skip if first else 0)], first
        return
    scored = window - skip
    count = -(-(longest - skip) // scored)
    order = permutation(SEED, f"epoch {epoch}", rows * count).tolist()
    for at in range(0, rows * count, size):
        parts: dict[int, Part] = {}
        for item in order[at : at + size]:
            row, number = divmod(item, count)
            begin = warmup + number * scored
            length = min(scored, steps - begin - skip)
            part = parts.setdefault(length, Part([], 0, [], skip + length, skip))
            part.rows.append(row)
            part.begins.append(begin)
        yield list(parts.values()), True


def _cut(data: torch.Tensor, part: Part, first: int, steps: int) -> torch.Tensor:
    """Return (steps, B, F): of each row of a part the steps from `first` after its beginning on."""
    cuts = [data[begin + first : begin + first + steps, row] for row, begin in zip(part.rows, part.begins, strict=True)]
    return torch.stack(cuts, dim=1)


def train(case: Case, initial: Mapping[str, NDArray[np.float32]], dtype: torch.dtype, cells: Cells = CELLS) -> Trained:
    """Train as the settings of a combination say."""
    inputs, targets = (torch.tensor(array, dtype=dtype) for array in case.data())
    weights = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in initial.items()}
    net = Net(case.network(), weights, cells)
    optimiser = optimiser_of(case.training()["optimiser"], list(weights.values()))
    losses: list[float] = []
    for epoch in range(case.epochs):
        total, scored, carried = 0.0, 0, None
        for parts, begins in updates(case, len(inputs), inputs.shape[1], epoch):
            optimiser.zero_grad()
            sums = []
            for part in parts:
                loss, carried = _loss(case, net, inputs, targets, part, None if begins else carried)
                sums.append(loss)
            loss = torch.stack(sums).sum()
            count = sum(len(part.rows) * (part.steps - part.skip) for part in parts)
            rows = sum(len(part.rows) for part in parts)
            (loss / (rows if case.training().get("reduce") == "sum" else count)).backward()
            for weight in weights.values():
                weight.grad = torch.zeros_like(weight) if weight.grad is None else weight.grad
            clip(case.training()["optimiser"], list(weights.values()))
            optimiser.step()
            total, scored = total + loss.item(), scored + count
            if not math.isfinite(total) or not all(w.isfinite().all() for w in weights.values()):
                return Trained(np.array(losses), {}, finite=False)
        losses.append(total / scored)
    return Trained(np.array(losses), {name: weight.detach().numpy() for name, weight in weights.items()}, finite=True)


def _loss(
    case: Case, net: Net, inputs: torch.Tensor, targets: torch.Tensor, part: Part, carried: State | None
) -> tuple[torch.Tensor, State]:
    """Return the sum of the losses of a part, and the state after it, without gradient."""
    warmup = case.training().get("warmup", 0)
    before = carried
    if carried is None and warmup:
        with torch.no_grad():
            _, before = net.run(_cut(inputs, part, -warmup, warmup), None)
    outputs, after = net.run(_cut(inputs, part, 0, part.steps), before)
    wanted = _cut(targets, part, part.skip, part.steps - part.skip)
    name: Any = case.loss
    spec = case.training()["loss"]
    if name == "cross_entropy":
        wanted = wanted[:, :, 0].long()
        loss = F.cross_entropy(outputs[part.skip :].flatten(0, 1), wanted.flatten(), reduction="sum")
    else:
        loss = make.loss_of(spec, outputs[part.skip :], wanted).sum()
    return loss, {key: value.detach() for key, value in after.items()}


# --- optimisers -------------------------------------------------------------------------------------------------------


class Lion:
    """arXiv:2302.06675, algorithm 2: PyTorch has none."""

    def __init__(self, parameters: Sequence[torch.Tensor], spec: Spec) -> None:
        self._parameters = parameters
        self._momenta = [torch.zeros_like(weight) for weight in parameters]
        self._rate, self._decay = spec["learning_rate"], spec.get("weight_decay", 0.0)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weight in self._parameters:
            weight.grad = None

    def step(self) -> None:
        """Update the weights by their gradients."""
        with torch.no_grad():
            for weight, momentum in zip(self._parameters, self._momenta, strict=True):
                sign = torch.sign(0.9 * momentum + 0.1 * weight.grad)
                weight.sub_(self._rate * (sign + self._decay * weight))
                momentum.mul_(0.99).add_(weight.grad, alpha=0.01)


def optimiser_of(spec: Spec, parameters: list[torch.Tensor]) -> Any:
    """Return PyTorch's optimiser for a specification of Cellar's."""
    if spec["type"] == "lion":
        return Lion(parameters, spec)
    return adaptive({"epsilon": 1e-8} | spec, parameters)


def clip(spec: Spec, parameters: list[torch.Tensor]) -> None:
    """Clip the gradients as the specification says: by value first."""
    if "clip_value" in spec:
        torch.nn.utils.clip_grad_value_(parameters, spec["clip_value"])
    if "clip_norm" in spec:
        make.clip({"clip_norm": spec["clip_norm"]}, parameters)
