"""Dropout layers: a product with a random mask. They exist only in training."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from cellar.engine import Cell, build_cell
from cellar.nn.model.layer import Layer
from cellar.nn.model.lowering import LayerSpec


class DropoutSpec(LayerSpec):
    """In training each number becomes 0 with this probability, else it is multiplied by 1 / (1 - rate).

    It has no effect elsewhere.
    """

    type: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1)]

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer with the product."""
        cell = build_cell("output = x * keep", {"in": in_size, "keep": in_size}, inputs=("x", "keep"))
        return Layer(cell, "dropout", (), {}, {}, {}, pointer, dropout=self.rate)

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield the cell."""
        yield cls(rate=0.5).build(size, "").cell
