"""RNN, LSTM and GRU of ONNX in NumPy and float64, written from the documents of the operators, version 22."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Function = Callable[[Array], Array]

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "Relu": lambda v, *_: np.maximum(v, 0),
    "Tanh": lambda v, *_: np.tanh(v),
    "Sigmoid": lambda v, *_: 1 / (1 + np.exp(-v)),
    "Affine": lambda v, a, b: a * v + b,
    "LeakyRelu": lambda v, a, _: np.where(v >= 0, v, a * v),
    "ThresholdedRelu": lambda v, a, _: np.where(v >= a, v, 0),
    "ScaledTanh": lambda v, a, b: a * np.tanh(b * v),
    "HardSigmoid": lambda v, a, b: np.minimum(np.maximum(a * v + b, 0), 1),
    "Elu": lambda v, a, _: np.where(v >= 0, v, a * np.expm1(v)),
    "Softsign": lambda v, *_: v / (1 + np.abs(v)),
    "Softplus": lambda v, *_: np.log1p(np.exp(v)),
}
ALPHA = {"Affine": 1.0, "LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "ScaledTanh": None, "HardSigmoid": 0.2, "Elu": 1.0}
BETA = {"Affine": 0.0, "ScaledTanh": None, "HardSigmoid": 0.5}
DEFAULTS = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


def functions(operator: str, attributes: Mapping[str, Any], directions: int) -> list[list[Function]]:
    """Return the functions of each direction; alpha and beta are consumed in order by those that have one.

    The last function of the LSTM reads the memory cell without a limit, as in ONNX Runtime and OpenVINO.
    """
    names = attributes.get("activations") or DEFAULTS[operator] * directions
    alphas, betas = list(attributes.get("activation_alpha", [])), list(attributes.get("activation_beta", []))
    found: list[Function] = []
    for place, given in enumerate(names):
        name = next(known for known in FUNCTIONS if known.lower() == given.lower())
        clip = np.inf if operator == "LSTM" and place % 3 == 2 else attributes.get("clip", np.inf)
        alpha = (alphas.pop(0) if alphas else ALPHA[name]) if name in ALPHA else None
        beta = (betas.pop(0) if betas else BETA[name]) if name in BETA else None

        def bounded(v: Array, name: str = name, alpha: Any = alpha, beta: Any = beta, clip: float = clip) -> Array:
            return FUNCTIONS[name](np.clip(v, -clip, clip), alpha, beta)

        found.append(bounded)
    each = len(names) // directions
    return [found[each * number : each * (number + 1)] for number in range(directions)]


def run(
    operator: str, attributes: Mapping[str, Any], inputs: Mapping[str, Array], lengths: Array | None
) -> tuple[Array, Array, Array]:
    """Return Y (T, directions, B, H), Y_h and Y_c (directions, B, H) of inputs with the layout 0."""
    x = inputs["X"].astype(np.float64)
    steps, rows, _ = x.shape
    directions = len(inputs["W"])
    hidden = inputs["R"].shape[2]
    ends = np.full(rows, steps) if lengths is None else lengths
    reads = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        attributes.get("direction", "forward")
    ]
    chosen = functions(operator, attributes, directions)
    y, y_h = np.zeros((steps, directions, rows, hidden)), np.zeros((directions, rows, hidden))
    y_c = np.zeros((directions, rows, hidden))
    for number, backwards in enumerate(reads):
        own = {name: value[number].astype(np.float64) for name, value in inputs.items() if name not in ("X",)}
        step = _STEPS[operator](own, chosen[number], attributes, hidden)
        for row in range(rows):
            state = [own[name][row] if name in own else np.zeros(hidden) for name in ("initial_h", "initial_c")]
            order: Sequence[int] = range(int(ends[row]))
            for at in reversed(order) if backwards else order:
                state = step(x[at, row], state)
                y[at, number, row] = state[0]
            y_h[number, row], y_c[number, row] = state
    return y, y_h, y_c


Step = Callable[[Array, list[Array]], list[Array]]


def _rnn(own: Mapping[str, Array], chosen: list[Function], attributes: Mapping[str, Any], hidden: int) -> Step:
    wb, rb = np.split(own.get("B", np.zeros(2 * hidden)), 2)
    return lambda x, state: [chosen[0](own["W"] @ x + own["R"] @ state[0] + wb + rb), state[1]]


def _lstm(own: Mapping[str, Array], chosen: list[Function], attributes: Mapping[str, Any], hidden: int) -> Step:
    f, g, last = chosen
    w, r = dict(zip("iofc", np.split(own["W"], 4), strict=True)), dict(zip("iofc", np.split(own["R"], 4), strict=True))
    parts = np.split(own.get("B", np.zeros(8 * hidden)), 8)
    b = {gate: parts[at] + parts[at + 4] for at, gate in enumerate("iofc")}
    p = dict(zip("iof", np.split(own.get("P", np.zeros(3 * hidden)), 3), strict=True))

    def step(x: Array, state: list[Array]) -> list[Array]:
        h, c = state
        pre = {gate: w[gate] @ x + r[gate] @ h + b[gate] for gate in "iofc"}
        new = f(pre["f"] + p["f"] * c) * c + f(pre["i"] + p["i"] * c) * g(pre["c"])
        return [f(pre["o"] + p["o"] * new) * last(new), new]

    return step


def _gru(own: Mapping[str, Array], chosen: list[Function], attributes: Mapping[str, Any], hidden: int) -> Step:
    f, g = chosen
    wz, wr, wh = np.split(own["W"], 3)
    rz, rr, rh = np.split(own["R"], 3)
    wbz, wbr, wbh, rbz, rbr, rbh = np.split(own.get("B", np.zeros(6 * hidden)), 6)

    def step(x: Array, state: list[Array]) -> list[Array]:
        h = state[0]
        z, r = f(wz @ x + rz @ h + wbz + rbz), f(wr @ x + rr @ h + wbr + rbr)
        if attributes.get("linear_before_reset", 0):
            n = g(wh @ x + r * (rh @ h + rbh) + wbh)
        else:
            n = g(wh @ x + rh @ (r * h) + rbh + wbh)
        return [(1 - z) * n + z * h, state[1]]

    return step


_STEPS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}
