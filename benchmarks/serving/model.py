"""The model that everybody serves: an LSTM with 64 hidden units on 8 features, the same weights for all."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.ours import network_spec
from benchmarks.weights import SUFFIXES
from cellar.nn.model.network import Network

CASE = Case("lstm", 8, 64, 1, 1)

SEED = 0
"""Of the first weights: the service draws the same from it."""

WEIGHTS_FILE = "weights.npz"


def write_weights(path: Path) -> None:
    """Write the weights by the names of PyTorch's `LSTMCell`, gates below each other; the second bias is zero."""
    ours = Network(network_spec(CASE)).init(SEED)

    def gates(prefix: str) -> NDArray[np.float32]:
        return np.concatenate([ours[f"0.{prefix}_{gate}"] for gate in SUFFIXES["lstm"]])

    bias = gates("b")
    np.savez(path, weight_ih=gates("Wi"), weight_hh=gates("Wh"), bias_ih=bias, bias_hh=np.zeros_like(bias))
