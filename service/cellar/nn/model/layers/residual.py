"""Residual layers: a chain of layers, and the sum of its input and output."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cellar.engine import Cell, Signal, build_cell
from cellar.errors import InvalidInput
from cellar.nn.model.layer import Layer
from cellar.nn.model.lowering import LayerSpec, NetworkBuilder

if TYPE_CHECKING:  # imported here, because the package of layers imports this module for the union of all kinds
    Layers = tuple[LayerSpec, ...]


class ResidualSpec(LayerSpec):
    """x + layers(x). The last of these layers has as many outputs as the first has inputs."""

    type: Literal["residual"] = "residual"
    layers: "Layers" = Field(
        description="The layers, from first to last. The last has as many outputs as the first has inputs."
    )

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Append the layers and the sum. A residual layer itself has no number."""
        end = network.chain(self.layers, signal, f"{pointer}/layers")
        size, found = network.width(signal), network.width(end)
        if size != found:
            raise InvalidInput(
                "the layers of a residual one must answer as many numbers as they read",
                pointer=f"{pointer}/layers",
                expected=str(size),
                actual=str(found),
            )
        return network.append(Layer(_sum(size), "residual", (), {}, {}, {}, pointer, name="", reads=(signal, end)))

    @classmethod
    def cells(cls, size: int) -> Iterator[Cell]:
        """Yield the sum."""
        yield _sum(size)


def _sum(size: int) -> Cell:
    return build_cell("output = x + y", {"in": size, "y": size}, inputs=("x", "y"))
