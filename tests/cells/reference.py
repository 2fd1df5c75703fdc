"""Cells of the literature in NumPy, written from the papers: weights, input (B, F) and state to output and state."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = Mapping[str, Array]
Step = Callable[[Weights, Array, dict[str, Array]], tuple[Array, dict[str, Array]]]


def sigmoid(v: Array) -> Array:
    """Return 1 / (1 + exp(-v))."""
    return np.asarray(1 / (1 + np.exp(-v)))


def lstm_peephole(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Gers and Schmidhuber 2000: input and forget gate see the old memory cell, the output gate the new one."""
    h, c = state["h"], state["c"]
    pre = {gate: x @ w[f"Wi_{gate}"].T + h @ w[f"Wh_{gate}"].T + w[f"b_{gate}"] for gate in "ifgo"}
    keep, take = sigmoid(pre["f"] + w["P_f"] * c), sigmoid(pre["i"] + w["P_i"] * c)
    c = keep * c + take * np.tanh(pre["g"])
    h = sigmoid(pre["o"] + w["P_o"] * c) * np.tanh(c)
    return h, {"c": c, "h": h}


def lstm_projected(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Sak et al. 2014, equations 1 to 6, without peepholes and with r_t alone."""
    h, c = state["h"], state["c"]
    i, f, g, o = (x @ w[f"Wi_{gate}"].T + h @ w[f"Wh_{gate}"].T + w[f"b_{gate}"] for gate in "ifgo")
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    h = (sigmoid(o) * np.tanh(c)) @ w["W_h"].T
    return h, {"c": c, "h": h}


def gru_torch(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """The equations on the page of torch.nn.GRU."""
    h = state["h"]
    of_x = {gate: x @ w[f"Wi_{gate}"].T + w[f"b_i{gate}"] for gate in "rzn"}
    of_h = {gate: h @ w[f"Wh_{gate}"].T + w[f"b_h{gate}"] for gate in "rzn"}
    r, z = sigmoid(of_x["r"] + of_h["r"]), sigmoid(of_x["z"] + of_h["z"])
    h = (1 - z) * np.tanh(of_x["n"] + r * of_h["n"]) + z * h
    return h, {"h": h}


def mgu(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Zhou et al. 2016, table 2: matrices of [h, x]."""
    h = state["h"]

    def of(gate: str, left: Array) -> Array:
        matrix = np.hstack([w[f"Wh_{gate}"], w[f"Wi_{gate}"]])
        return np.asarray(np.hstack([left, x]) @ matrix.T + w[f"b_{gate}"])

    f = sigmoid(of("f", h))
    h = (1 - f) * h + f * np.tanh(of("n", f * h))
    return h, {"h": h}


def mingru(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Feng et al. 2024, section 3.1."""
    z = sigmoid(x @ w["Wi_z"].T + w["b_z"])
    h = (1 - z) * state["h"] + z * (x @ w["Wi_n"].T + w["b_n"])
    return h, {"h": h}


def minlstm(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Feng et al. 2024, section 3.2: two sigmoids that are scaled to the sum 1."""
    f, i = (sigmoid(x @ w[f"Wi_{gate}"].T + w[f"b_{gate}"]) for gate in "fi")
    h = f / (f + i) * state["h"] + i / (f + i) * (x @ w["Wi_n"].T + w["b_n"])
    return h, {"h": h}


def leaky(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Jaeger et al. 2007: a step of a * (tanh(...) - h)."""
    h = state["h"]
    h = h + sigmoid(w["b_a"]) * (np.tanh(x @ w["Wi"].T + h @ w["Wh"].T + w["b"]) - h)
    return h, {"h": h}


def lru(w: Weights, x: Array, state: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Orvieto et al. 2023, equation 7 with gamma = sqrt(1 - modulus^2), in complex numbers."""
    eigenvalue = np.exp(-np.exp(w["Nu"]) + 2j * np.arctan(np.exp(w["Theta"])))
    b, c = w["B_re"] + 1j * w["B_im"], w["C_re"] + 1j * w["C_im"]
    gamma = np.sqrt(1 - np.abs(eigenvalue) ** 2)
    h = eigenvalue * (state["re"] + 1j * state["im"]) + gamma * (x @ b.T)
    return (h @ c.T).real + x @ w["D"].T, {"re": h.real, "im": h.imag}


STEPS: dict[str, Step] = {
    "lstm_peephole": lstm_peephole,
    "lstm_projected": lstm_projected,
    "gru_torch": gru_torch,
    "mgu": mgu,
    "mingru": mingru,
    "minlstm": minlstm,
    "leaky": leaky,
    "lru": lru,
}
