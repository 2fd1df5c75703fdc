"""Embedding layers: a table before the first layer."""

from typing import Literal

from pydantic import Field

from cellar.engine import INPUT, Signal
from cellar.errors import InvalidInput
from cellar.nn.model.embedding import Embedding
from cellar.nn.model.lowering import LayerSpec, NetworkBuilder
from cellar.nn.spec.base import Size
from cellar.nn.spec.initialisers import Initialisers


class EmbeddingSpec(LayerSpec):
    """A row of the matrix `W` for each id from 0 to count - 1. Only as the first layer, with an `in_size` of 1."""

    type: Literal["embedding"] = "embedding"
    count: Size = Field(description="Ids: whole numbers from 0 to count - 1.")
    out_size: Size
    init: Initialisers = Field(
        default_factory=dict, description="How `W` begins. Default: uniform around 0 with variance 1."
    )

    def append_to(self, network: NetworkBuilder, signal: Signal, pointer: str) -> Signal:
        """Set the table of the network, which is looked up before the first layer."""
        network.next_number(pointer)
        if pointer != f"{network.pointer}/layers/0":
            raise InvalidInput("an embedding reads the network's input", pointer=pointer, expected="the first layer")
        if network.in_size != 1:
            raise InvalidInput(
                "an embedding reads one id at each step",
                pointer=f"{network.pointer}/in_size",
                expected="1",
                actual=str(network.in_size),
            )
        network.embedding = Embedding.of((self.count, self.out_size), self.init, pointer)
        return INPUT
