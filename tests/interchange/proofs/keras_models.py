"""Random models of Keras, saved, imported and compared with the original. Needs Keras (`.venv-bench`)."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cellar.engine import KernelCache
from cellar.errors import ImportRefused
from cellar.interchange.keras import read_keras
from tests.interchange.proofs.outcome import Array, Outcome, difference, run

os.environ.setdefault("KERAS_BACKEND", "torch")

Random = np.random.Generator

PROFILES: tuple[tuple[str, str], ...] = (
    ("tanh", "sigmoid"),
    ("tanh", "sigmoid"),
    ("tanh", "sigmoid"),
    ("relu", "hard_sigmoid"),
    ("softsign", "sigmoid"),
    ("elu", "hard_sigmoid"),
)
"""Of a recurrent layer: the activation, and that of the gates. Each pair is a kernel that has to be compiled."""


@dataclass
class Plan:
    """A model as it is called: layers, and lists of layers whose input is added to what they answer."""

    ids: int
    """How many ids it reads; 0 if it reads numbers."""
    in_size: int
    steps: list[Any]


def prove(cache: KernelCache, count: int, seed: int) -> Outcome:
    """Compare random models."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            rng = np.random.default_rng([seed, index])
            plan = _plan(rng)
            file = Path(folder) / f"model.{rng.choice(['keras', 'keras', 'h5'])}"
            save(plan, file, sequential=bool(rng.random() < 0.6), rng=rng)
            name = f"{index} {file.suffix} {_words(plan.steps)}"
            try:
                outcome.add(name, _compare(plan, file, rng, cache))
            except ImportRefused as error:
                outcome.refuse(error.detail)
                outcome.wrong.append(f"{name}: refused: {error.detail}")
            file.unlink()
    return outcome


def _plan(rng: Random) -> Plan:
    """Return a random architecture."""
    from keras import layers

    ids = int(rng.integers(3, 9)) if rng.random() < 0.25 else 0
    width = int(rng.integers(1, 7))
    steps: list[Any] = [layers.Embedding(ids, width)] if ids else []
    in_size = width
    depth = int(rng.integers(1, 4))
    for number in range(depth):
        if rng.random() < 0.2:
            steps.append(
                layers.LayerNormalization(epsilon=float(rng.choice([1e-3, 1e-5])), scale=bool(rng.integers(2)))
            )
        if rng.random() < 0.15:
            steps.append(layers.Dropout(0.3))
        if rng.random() < 0.15:
            steps += [layers.GaussianNoise(0.5), _function(rng)]
        last = number == depth - 1 and rng.random() < 0.3
        layer, out = _recurrent(rng, sequences=not last)
        if rng.random() < 0.15 and not last:
            steps.append([_recurrent(rng, sequences=True)[0], layers.Dense(width)])
        steps.append(layer)
        width = out
        if rng.random() < 0.4:
            width = int(rng.integers(1, 5))
            steps.append(_dense(rng, width, sequences=not last))
        if last:
            break
    return Plan(ids, in_size, steps)


def _dense(rng: Random, width: int, *, sequences: bool) -> Any:
    from keras import layers

    chosen = rng.choice(["linear", "tanh", "softmax", "relu", "elu", "selu", "silu", "leaky_relu", "mish", "relu6"])
    function: Any = str(chosen) if rng.random() < 0.7 else _function(rng)
    dense = layers.Dense(width, activation=function, use_bias=bool(rng.random() < 0.8))
    return layers.TimeDistributed(dense) if sequences and rng.random() < 0.05 else dense


def _function(rng: Random) -> Any:
    """Return a layer that applies a function, with arguments."""
    from keras import layers

    made: list[Callable[[], Any]] = [
        lambda: layers.LeakyReLU(negative_slope=0.1),
        lambda: layers.ELU(alpha=0.5),
        lambda: layers.ReLU(max_value=1.5),
        lambda: layers.ReLU(negative_slope=0.25),
        lambda: layers.ReLU(negative_slope=0.25, max_value=1.5),
        lambda: layers.ReLU(threshold=0.5),
        lambda: layers.ReLU(threshold=0.5, negative_slope=0.25, max_value=1.5),
    ]
    return made[rng.integers(len(made))]()


def _recurrent(rng: Random, *, sequences: bool) -> tuple[Any, int]:
    """Return a recurrent layer and how many numbers it answers."""
    from keras import layers

    units = int(rng.integers(1, 9))
    merge = str(rng.choice(["concat", "concat", "concat", "sum", "ave", "mul"]))
    if sequences and rng.random() < 0.3:
        forward = _one_way(rng, units, sequences=True)
        backward = None if rng.random() < 0.7 else _one_way(rng, units, sequences=True, go_backwards=True)
        layer = layers.Bidirectional(forward, merge_mode=merge, backward_layer=backward)
        return layer, units * (2 if merge == "concat" else 1)
    return _one_way(rng, units, sequences=sequences), units


def _one_way(rng: Random, units: int, *, sequences: bool, **more: Any) -> Any:
    from keras import layers

    activation, gates = PROFILES[rng.integers(len(PROFILES))]
    shared: dict[str, Any] = {"return_sequences": sequences, "use_bias": bool(rng.random() < 0.85), **more}
    kind = rng.choice(["SimpleRNN", "LSTM", "GRU", "GRU", "RNN"])
    if kind == "SimpleRNN":
        chosen = str(rng.choice(["tanh", "relu", "sigmoid", "softsign"]))
        return layers.SimpleRNN(units, activation=chosen, **shared)
    if kind == "RNN":
        bias = shared.pop("use_bias")
        return layers.RNN(layers.LSTMCell(units, use_bias=bias), **shared)
    both = {"activation": activation, "recurrent_activation": gates}
    if kind == "LSTM":
        return layers.LSTM(units, **both, **shared)
    return layers.GRU(units, reset_after=bool(rng.integers(2)), **both, **shared)


def save(plan: Plan, file: Path, *, sequential: bool, rng: Random | None = None) -> Any:
    """Save the model of a plan: a sequential one if that is possible and wanted. With `rng` its weights are random."""
    import keras

    shape = (None,) if plan.ids else (None, plan.in_size)
    if sequential and not any(isinstance(step, list) for step in plan.steps):
        model = keras.Sequential([keras.Input(shape), *plan.steps])
    else:
        start = signal = keras.Input(shape)
        for step in plan.steps:
            signal = keras.layers.Add()([signal, _called(step, signal)]) if isinstance(step, list) else step(signal)
        model = keras.Model(start, signal)
    if rng is not None:
        random_weights(model, rng)
    model.save(file)
    return model


def random_weights(model: Any, rng: Random) -> None:
    """Give a model random weights: vectors around 1, so that scales and biases matter."""
    for variable in model.weights:
        if "seed" not in variable.path:
            scale = 0.6 if len(variable.shape) == 2 else 0.3
            variable.assign(rng.normal(size=tuple(variable.shape)).astype(np.float32) * scale + (scale == 0.3))


def _called(layers: list[Any], signal: Any) -> Any:
    for layer in layers:
        signal = layer(signal)
    return signal


def _compare(plan: Plan, file: Path, rng: Random, cache: KernelCache) -> float:
    """Return the largest difference of outputs and final states."""
    length, rows = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    if plan.ids:
        inputs = rng.integers(0, plan.ids, (rows, length)).astype(np.float32)
    else:
        inputs = rng.normal(size=(rows, length, plan.in_size)).astype(np.float32)
    found = run(read_keras(file), (inputs[:, :, None] if plan.ids else inputs).swapaxes(0, 1), cache)
    expected, states = original(plan, inputs)
    if expected.ndim == 3:
        worst = difference(found.outputs, expected.swapaxes(0, 1))
    else:
        worst = difference(found.outputs[-1], expected)
    if found.states:
        names = sorted({number for number, _ in found.states})
        assert len(names) == len(states)
        for number, values in zip(names, states, strict=True):
            for name, value in values.items():
                worst = max(worst, difference(found.states[number, name], value))
    return worst


def original(plan: Plan, inputs: Array) -> tuple[Array, list[dict[str, Array]]]:
    """Return what Keras answers, and the final states of its recurrent layers that read forward."""
    import torch

    states: list[dict[str, Array]] = []
    with torch.no_grad():
        signal: Any = torch.from_numpy(inputs)
        for step in plan.steps:
            if isinstance(step, list):
                signal = signal + _traced(step, signal, states)
            else:
                signal = _traced([step], signal, states)
    return np.asarray(signal), states


def _traced(layers: list[Any], signal: Any, states: list[dict[str, Array]]) -> Any:
    for layer in layers:
        if layer.__class__.__name__ in ("SimpleRNN", "LSTM", "GRU", "RNN"):
            layer.return_state = True
            signal, *found = layer(signal)
            layer.return_state = False
            states.append({name: np.asarray(value) for name, value in zip("hc", found, strict=False)})
        else:
            signal = layer(signal)
    return signal


def _words(steps: list[Any]) -> str:
    return " ".join(list(_each_word(steps)))


def _each_word(steps: list[Any]) -> Iterator[str]:
    for step in steps:
        yield f"[{_words(step)}]" if isinstance(step, list) else step.__class__.__name__
