"""Lists the kernels of all built-in cells, layers, losses and optimisers, which `cellar warm` compiles."""

from collections.abc import Iterator

from cellar.engine import Cell, kernel_texts
from cellar.engine.self_test import golden_cells
from cellar.nn.execution.array_functions import CLIP, NORM, SUM, cell
from cellar.nn.model.layers import LAYERS
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.training.losses import LOSSES
from cellar.nn.training.optimisers import OPTIMISERS

_SIZE = 16
"""An arbitrary size: the kernels are the same for all sizes."""


def builtin_kernels() -> list[str]:
    """Return the distinct texts of the kernels of all built-in cells, layers, losses and optimisers."""
    texts = kernel_texts([*_differentiated(), *golden_cells()], training=True)
    return list(dict.fromkeys([*texts, *kernel_texts(list(_plain()))]))


def _differentiated() -> Iterator[Cell]:
    for layer in LAYERS:
        yield from layer.cells(_SIZE)
    for loss in (loss for loss in LOSSES if loss.equations):
        yield cell(loss.equations, dict.fromkeys((*loss.inputs, "target"), _SIZE))


def _plain() -> Iterator[Cell]:
    yield from ReadingsSpec.forward_cells(_SIZE)
    for optimiser in OPTIMISERS:
        yield cell(optimiser.equations, {"x": _SIZE, "w": _SIZE})
    for text in (SUM, NORM, CLIP):
        yield cell(text, {"x": _SIZE})
