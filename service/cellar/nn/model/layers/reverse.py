"""Reverse layers: a recurrent layer that reads in reverse."""

from dataclasses import replace
from typing import Literal

from cellar.nn.model.layer import Layer
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.lowering import LayerSpec


class ReverseSpec(LayerSpec):
    """A recurrent layer that reads each sequence from its end. Its output at a step is the one that belongs there.

    A network with such a layer takes whole sequences only.
    """

    type: Literal["reverse"] = "reverse"
    layer: RecurrentSpec

    def build(self, in_size: int, pointer: str) -> Layer:
        """Return the recurrent layer, reading in reverse."""
        return replace(self.layer.build(in_size, f"{pointer}/layer"), reverse=True)
