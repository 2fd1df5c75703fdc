"""The readings of a model in an answer."""

from typing import Annotated

from pydantic import Field

from cellar.api.schemas.names import Answer
from cellar.nn.model.network import Network
from cellar.nn.readings.words import in_words


class ReadingsAnswer(Answer):
    """The readings of a model: what it takes by name, and what its layers read."""

    columns: list[str] = Field(description="Each column in words, with the numbers that were fitted to it.")
    features: list[str] = Field(description="The numbers that the layer behind them reads, in their order.")


ReadingsMember = Annotated[
    ReadingsAnswer | None,
    Field(
        exclude_if=lambda readings: readings is None,
        description="The columns that a step of the model has. Only with the layer `readings`.",
    ),
]


def readings_of(network: Network) -> ReadingsAnswer | None:
    """Return the readings of a network, None if its inputs are plain numbers."""
    if network.readings is None:
        return None
    columns = [in_words(column) for column in network.readings.layout.columns]
    return ReadingsAnswer(columns=columns, features=[*network.readings.features])
