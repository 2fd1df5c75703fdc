"""Layer normalisation, as a cell without a state."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from cellar.engine import Cell, build_cell
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.spec.initialisers import Initialisers


class LayerNormSpec(LayerSpec):
    """`g * layernorm(x) + b` at every step (arXiv:1607.06450)."""

    type: Literal["layer_norm"] = "layer_norm"
    init: Initialisers = Field(default_factory=dict, description="How `g` and `b` begin. Default: ones and zeros.")

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer with the normalisation, the scale and the bias."""
        cell = build_cell("param g: in\nparam b: in\noutput = g * layernorm(x) + b", {"in": in_size})
        return make_layer(cell, "layer_norm", self.init, pointer, named={"g": "ones"})

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield the cell."""
        yield cls().build(size, "").cell
