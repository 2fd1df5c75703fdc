"""The masks of dropout: drawn anew for every update, the same whenever and wherever that update is computed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellar.nn.draws import uniforms
from cellar.nn.layers import Layer

Masks = dict[int, NDArray[np.float32]]
"""For each dropout layer, by its place in the network's layers, what its input is multiplied by: (T, B, size)."""


def draw_masks(layers: Sequence[Layer], seed: int, epoch: int, update: int, steps: int, rows: int) -> Masks:
    """Return the masks of an update: 0 with the layer's rate as probability, else 1 / (1 - rate)."""
    found: Masks = {}
    for index, layer in enumerate(layers):
        if layer.dropout is not None:
            shape = (steps, rows, layer.cell.out_size)
            stream = f"dropout {epoch} {update} {layer.number}"
            u = uniforms(seed, stream, steps * rows * layer.cell.out_size).reshape(shape)
            found[index] = np.where(u < layer.dropout, np.float32(0), np.float32(1 / (1 - layer.dropout)))
    return found
