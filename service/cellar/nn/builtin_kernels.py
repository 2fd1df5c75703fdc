"""Every kernel that needs no equations of a user's: what an image compiles once, so that no service waits for it."""

from collections.abc import Iterator
from typing import get_args

from cellar.cells import BUILT_IN
from cellar.engine import Cell, kernel_texts
from cellar.engine.self_test import golden_cells
from cellar.nn.execution.array_functions import CLIP, NORM, SUM, cell
from cellar.nn.model.layers import build_layer, build_sum
from cellar.nn.spec.network import Activation, DenseSpec, DropoutSpec, LayerNormSpec, RecurrentSpec
from cellar.nn.training.losses import LOSSES
from cellar.nn.training.optimisers import OPTIMISERS

_SIZE = 16
"""Any size: kernels are the same for all."""


def builtin_kernels() -> list[str]:
    """Return the texts of the kernels of all built-in cells, layers, losses and optimisers, each once."""
    texts = kernel_texts([*_layers(), *_losses(), *golden_cells()], training=True)
    return list(dict.fromkeys([*texts, *kernel_texts([*_updates(), *_sums()])]))


def _layers() -> Iterator[Cell]:
    for name, built_in in BUILT_IN.items():
        for activation in built_in.activations or (None,):
            spec = RecurrentSpec.model_validate({"cell": name, "hidden_size": _SIZE, "activation": activation})
            yield build_layer(spec, _SIZE, "").cell
    for activation in get_args(Activation):
        yield build_layer(DenseSpec(out_size=_SIZE, activation=activation), _SIZE, "").cell
    yield build_layer(LayerNormSpec(), _SIZE, "").cell
    yield build_layer(DropoutSpec(rate=0.5), _SIZE, "").cell
    yield build_sum(_SIZE, "").cell


def _losses() -> Iterator[Cell]:
    for loss in LOSSES:
        yield cell(loss.equations, {"x": _SIZE, "target": _SIZE})


def _updates() -> Iterator[Cell]:
    for optimiser in OPTIMISERS:
        yield cell(optimiser.equations, {"x": _SIZE, "w": _SIZE})


def _sums() -> Iterator[Cell]:
    for text in (SUM, NORM, CLIP):
        yield cell(text, {"x": _SIZE})
