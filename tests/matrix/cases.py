"""What is combined: every loss, optimiser, kind of layer, regime, scale of the data and layout, and the data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.nn.golden.cases import LAYER_NORM, bidirectional, dense, dropout, embedding, network, recurrent, residual

Array = NDArray[Any]
Spec = dict[str, Any]

STEPS, ROWS, IN, OUT, CLASSES = 13, 5, 2, 2, 3
SEED = 5

LOSSES: dict[str, Any] = {
    "mse": "mse",
    "mae": "mae",
    "huber": {"type": "huber", "delta": 0.5},
    "binary_cross_entropy": "binary_cross_entropy",
    "cross_entropy": "cross_entropy",
}

OPTIMISERS: dict[str, Spec] = {
    "sgd": {"type": "sgd", "learning_rate": 0.05},
    "momentum": {"type": "momentum", "learning_rate": 0.02, "momentum": 0.9},
    "nesterov": {"type": "nesterov", "learning_rate": 0.02, "momentum": 0.9, "weight_decay": 0.01},
    "adam": {"type": "adam", "learning_rate": 0.02, "clip_norm": 0.5},
    "adamw": {"type": "adamw", "learning_rate": 0.02, "epsilon": 1e-6, "weight_decay": 0.1},
    "rmsprop": {"type": "rmsprop", "learning_rate": 0.01, "rho": 0.95, "clip_value": 0.2},
    "adagrad": {"type": "adagrad", "learning_rate": 0.05, "epsilon": 1e-10},
    "adadelta": {"type": "adadelta", "learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
    "lion": {"type": "lion", "learning_rate": 0.01, "weight_decay": 0.1},
}

EQUATIONS = {
    "equations": "a = sigmoid(Wa @ x + Ua @ h + b_a)\nh = a * h + (1 - a) * tanh(Wn @ x + Un @ h)",
}

KINDS: dict[str, list[Spec]] = {
    "rnn": [recurrent("rnn", 4, trainable_state=True)],
    "lstm": [recurrent("lstm", 4, trainable_state=True)],
    "gru": [recurrent("gru", 4)],
    "gru_torch": [recurrent("gru_torch", 3, trainable_state=True)],
    "gru_v3": [recurrent("gru_v3", 4)],
    "rnn_relu": [recurrent("rnn", 4, activation="relu")],
    "lstm_peephole": [recurrent("lstm_peephole", 3, trainable_state=True)],
    "mgu": [recurrent("mgu", 4)],
    "mingru": [recurrent("mingru", 4, trainable_state=True)],
    "minlstm": [recurrent("minlstm", 4)],
    "leaky": [recurrent("leaky", 4)],
    "lru": [recurrent("lru", 4)],
    "equations": [recurrent(EQUATIONS, 4, trainable_state=True)],
    "dense": [dense(4, "tanh")],
    "dense_softmax": [dense(4, "softplus"), dense(4, "softmax")],
    "stack": [recurrent("gru", 3), recurrent("lstm", 4)],
    "bidirectional": [bidirectional("lstm", 3, trainable_state=True)],
    "residual": [dense(5, "tanh"), residual(recurrent("rnn", 5), LAYER_NORM)],
    "embedding": [embedding(6, 3), recurrent("lstm", 3)],
    "dropout": [recurrent("rnn", 4), dropout(0.3)],
}
"""Of each the layers below the last one, which is dense without a bias: with mae a bias has a gradient of equal numbers
with signs, whose sum is 0 but for rounding where there are as many of each, and some optimisers scale that up."""

QUICK_KINDS = ("rnn", "lstm", "gru", "gru_torch", "equations", "dense", "bidirectional", "residual", "embedding")

NOT_IN_PYTORCH = ("dropout",)
"""Its masks are drawn otherwise there."""

REGIMES: dict[str, Spec] = {
    "whole": {"batch_size": 2},
    "windows": {"window": 5, "skip": 1, "batch_size": 4},
    "warm": {"window": 6, "warmup": 2, "skip": 2, "batch_size": 3},
    "sum": {"window": 4, "reduce": "sum", "batch_size": 7},
    "carry": {"state": "carry", "window": 4, "batch_size": 3},
    "carry_warm": {"state": "carry", "window": 5, "warmup": 2, "skip": 1, "batch_size": 5},
    "recompute": {"window": 9, "recompute": 3, "batch_size": 2},
}

SCALES: dict[str, tuple[float, float]] = {
    "plain": (1.0, 1.0),
    "large_inputs": (1000.0, 1.0),
    "tiny": (1e-9, 1e-9),
    "large_targets": (1.0, 1e6),
}
"""What inputs and targets are multiplied by. With tiny ones gradients are about 1e-9."""

LAYOUTS = ("TBF", "BTF", "FTB", "BFT")

AXES: dict[str, Sequence[str]] = {
    "loss": tuple(LOSSES),
    "optimiser": tuple(OPTIMISERS),
    "kind": tuple(KINDS),
    "regime": tuple(REGIMES),
    "scale": tuple(SCALES),
    "layout": LAYOUTS,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One combination."""

    loss: str
    optimiser: str
    kind: str
    regime: str
    scale: str
    layout: str

    @property
    def name(self) -> str:
        """Return what it is called in reports and golden files."""
        return "-".join((self.loss, self.optimiser, self.kind, self.regime, self.scale, self.layout))

    @property
    def epochs(self) -> int:
        """Return how often the data is seen."""
        return 3

    def network(self) -> Spec:
        """Return the specification of the network."""
        out = CLASSES if self.loss == "cross_entropy" else OUT
        return network(1 if self.kind == "embedding" else IN, *KINDS[self.kind], dense(out, bias=False))

    def training(self) -> Spec:
        """Return the settings of the run."""
        return {
            "loss": LOSSES[self.loss],
            "optimiser": OPTIMISERS[self.optimiser],
            "epochs": self.epochs,
            "seed": SEED,
            **REGIMES[self.regime],
        }

    def data(self) -> tuple[Array, Array]:
        """Return inputs and targets, (T, B, F) each, in float32."""
        of_inputs, of_targets = SCALES[self.scale]
        draws = _draws(STEPS * ROWS * (IN + OUT + 2)).reshape(STEPS, ROWS, -1)
        inputs = 2 * draws[:, :, :IN] - 1
        if self.kind == "embedding":
            inputs = np.floor(6 * draws[:, :, :1])
        targets = 2 * draws[:, :, IN : IN + OUT] - 1
        if self.loss == "binary_cross_entropy":
            targets = np.round(draws[:, :, IN : IN + OUT], 1)
        if self.loss == "cross_entropy":
            targets = np.floor(CLASSES * draws[:, :, IN : IN + 1])
        probabilities = self.loss in ("binary_cross_entropy", "cross_entropy")
        if probabilities and self.scale == "tiny":
            of_targets = 1.0
        return (inputs * of_inputs).astype(np.float32), (targets * of_targets).astype(np.float32)

    def data_members(self) -> Spec:
        """Return further members of the data of the request."""
        return {}

    def expected_refusal(self) -> str | None:
        """Return what the documentation says the service answers, None where the job must be carried out."""
        settings, (of_inputs, of_targets) = self.training(), SCALES[self.scale]
        whole_needed = settings.get("state") == "carry" or settings.get("warmup") or settings.get("recompute")
        if self.kind == "bidirectional" and whole_needed:
            return "the model reads whole sequences"
        if self.kind == "embedding" and of_inputs != 1:
            return "no id of the embedding"
        if self.loss == "binary_cross_entropy" and of_targets > 1:
            return "a target is no probability"
        if self.loss == "cross_entropy" and of_targets > 1:
            return "a target is no class index"
        return None


def full() -> list[Case]:
    """Return every loss with every optimiser and kind of layer; the other axes take turns, so that all pairs occur."""
    found = []
    for number, (loss, optimiser, kind) in enumerate(product(LOSSES, OPTIMISERS, KINDS)):
        regime, scale = _turn(tuple(REGIMES), number), _turn(tuple(SCALES), number // len(REGIMES))
        found.append(Case(loss, optimiser, kind, regime, scale, _turn(LAYOUTS, number // 3 + number // 60)))
    return found


def quick() -> list[Case]:
    """Return few combinations that have every pair of values of two axes, of fewer kinds of layers."""
    axes = {**AXES, "kind": QUICK_KINDS}
    names = tuple(axes)
    missing = {(a, left, b, right) for a, b in combinations(names, 2) for left, right in product(axes[a], axes[b])}
    found = []
    for seed in _seeds(axes, missing):
        best = max(_candidates(axes, seed), key=lambda case: len(_pairs(case, names) & missing))
        missing -= _pairs(best, names)
        found.append(best)
    return found


def _seeds(axes: Mapping[str, Sequence[str]], missing: set[tuple[str, str, str, str]]) -> Iterator[tuple[int, Any]]:
    """Yield a pair that no combination has yet, until there is none."""
    number = 0
    while missing:
        yield number, min(missing)
        number += 1


def _candidates(axes: Mapping[str, Sequence[str]], seed: tuple[int, Any]) -> Iterator[Case]:
    """Yield combinations that have a pair."""
    number, (a, left, b, right) = seed
    draws = _draws(len(axes) * 60, stream=1000 + number).reshape(60, -1)
    for row in draws:
        values = {axis: names[int(u * len(names))] for (axis, names), u in zip(axes.items(), row, strict=True)}
        yield Case(**(values | {a: left, b: right}))


def _pairs(case: Case, names: Sequence[str]) -> set[tuple[str, str, str, str]]:
    return {(a, getattr(case, a), b, getattr(case, b)) for a, b in combinations(names, 2)}


def _turn(names: Sequence[str], number: int) -> str:
    return names[number % len(names)]


def _draws(count: int, stream: int = 3) -> NDArray[np.float64]:
    """Return numbers from [0, 1), of raw random bits: their stream is the same in every version of NumPy."""
    words: NDArray[np.float64] = (np.random.PCG64(stream).random_raw(count) >> np.uint64(11)).astype(np.float64)
    return words * 2.0**-53
