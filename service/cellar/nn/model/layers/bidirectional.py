"""Bidirectional layers: two recurrent layers of the same cell, the second of which reads in reverse."""

from dataclasses import replace
from typing import Literal

from pydantic import Field

from cellar.engine import Signal
from cellar.nn.model.layers.recurrent import RecurrentSpec
from cellar.nn.model.lowering import LayerSpec, NetworkBuilder


class BidirectionalSpec(LayerSpec):
    """A recurrent layer and a second one that reads each sequence from its end; their outputs are concatenated.

    A network with such a layer takes whole sequences only.
    """

    type: Literal["bidirectional"] = "bidirectional"
    layer: RecurrentSpec
    reverse_layer: RecurrentSpec | None = Field(
        None,
        description="The layer that reads from the end, if it differs. Default: as `layer`, with its own weights.",
    )

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Append both layers; their signal is the concatenation of their outputs."""
        number = network.next_number(pointer)
        forward = reverse = self.layer.build(network.width(signal), f"{pointer}/layer")
        if self.reverse_layer is not None:
            reverse = self.reverse_layer.build(network.width(signal), f"{pointer}/reverse_layer")
        forward = replace(forward, name=f"{number}.forward", number=number, reads=(signal,))
        reverse = replace(reverse, name=f"{number}.reverse", number=number, reads=(signal,), reverse=True)
        return network.append(forward) + network.append(reverse)
