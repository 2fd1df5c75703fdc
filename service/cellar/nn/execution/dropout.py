"""Draws the masks of dropout. They depend only on the seed, the epoch, the update and the layer."""

from collections.abc import Sequence

import numpy as np

from cellar.engine import Floats
from cellar.nn.model.layer import Layer
from cellar.nn.numerics.random_streams import uniforms

Masks = dict[int, Floats]
"""The mask (T, B, size) of each dropout layer, by its index in the layers of the network."""


def draw_masks(
    layers: Sequence[Layer],
    seed: int,
    epoch: int,
    update: int,
    steps: int,
    rows: int,
    first: int = 0,
    shard: int | None = None,
) -> Masks:
    """Return the masks of an update: 0 with the rate of the layer as probability, otherwise 1 / (1 - rate).

    Each shard of a batch has masks of its own.

    They are for `steps` steps from the step `first` on, and do not depend on whether earlier steps were generated.
    """
    found: Masks = {}
    for index, layer in enumerate(layers):
        if layer.dropout is not None:
            shape = (steps, rows, layer.cell.out_size)
            stream = f"dropout {epoch} {update} {layer.number}{'' if shard is None else f' {shard}'}"
            numbers = rows * layer.cell.out_size
            u = uniforms(seed, stream, steps * numbers, first * numbers).reshape(shape)
            found[index] = np.where(u < layer.dropout, np.float32(0), np.float32(1 / (1 - layer.dropout)))
    return found
