"""Dense layers, as cells without a state."""

from collections.abc import Iterator
from typing import Literal, get_args

from pydantic import Field

from cellar.engine import Cell, build_cell
from cellar.nn.model.layer import Layer, make_layer
from cellar.nn.model.lowering import LayerSpec
from cellar.nn.spec.base import Size
from cellar.nn.spec.initialisers import Initialisers

Activation = Literal["identity", "tanh", "relu", "sigmoid", "softplus", "softmax"]


class DenseSpec(LayerSpec):
    """`activation(W @ x + b)` at every step."""

    type: Literal["dense"] = "dense"
    out_size: Size
    activation: Activation = "identity"
    bias: bool = True
    init: Initialisers = Field(
        default_factory=dict, description="How `W` and `b` begin. Default: glorot_uniform and zeros."
    )

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the layer with a matrix product, a bias and an activation."""
        linear = "W @ x + b" if self.bias else "W @ x"
        activation = "" if self.activation == "identity" else self.activation
        text = f"param W: out x in\noutput = {activation}({linear})"
        return make_layer(build_cell(text, {"in": in_size, "out": self.out_size}), "dense", self.init, pointer)

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield the cell of each activation, and the one of a matrix alone."""
        for activation in get_args(Activation):
            yield cls(out_size=size, activation=activation).build(size, "").cell
        yield cls(out_size=size, bias=False).build(size, "").cell
