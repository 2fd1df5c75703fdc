"""The model of all servers: an LSTM with 64 hidden units on 8 features, with the same weights."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.ours import network_spec
from benchmarks.weights import SUFFIXES
from cellar.nn.model.network import Network

CASE = Case("lstm", 8, 64, 1, 1)

SEED = 0
"""The seed of the weights, from which the service draws the same."""

WEIGHTS_FILE = "weights.npz"


def write_weights(path: Path) -> None:
    """Write the weights under the names of PyTorch's `LSTMCell`, with stacked gates; the second bias is zero."""
    ours = Network(network_spec(CASE)).init(SEED)

    def gates(prefix: str) -> NDArray[np.float32]:
        return np.concatenate([ours[f"0.{prefix}_{gate}"] for gate in SUFFIXES["lstm"]])

    bias = gates("b")
    np.savez(path, weight_ih=gates("Wi"), weight_hh=gates("Wh"), bias_ih=bias, bias_hh=np.zeros_like(bias))
