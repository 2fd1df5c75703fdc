"""Models and their versions."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from cellar.api.schemas.names import Answer, ModelName, time_of
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.spec.base import Frozen
from cellar.ports import ModelVersion


class ModelRequest(Frozen):
    """A model to create: a network with weights drawn from a seed."""

    name: ModelName
    network: NetworkSpec
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of the initial weights.")


class ParameterLine(Answer):
    """One array of weights."""

    name: str = Field(description="Layer and name of the parameter, as in `0.Wi_r`.")
    shape: list[int]


class StateLine(Answer):
    """One state of one layer."""

    layer: int = Field(
        description="Number of the layer, counted depth first; layers that only contain others are not counted."
    )
    name: str
    size: int = Field(description="Numbers in each row.")


class ModelAnswer(Answer):
    """One version of a model."""

    model: str = Field(description="The name that pins this version: `co2@3`.")
    name: str
    version: int
    digest: str = Field(description="sha256 over the network and its weights, hexadecimal.")
    network: NetworkSpec
    parameters: list[ParameterLine]
    parameter_count: int
    state: list[StateLine]
    in_size: int
    out_size: int
    whole_sequences: bool = Field(description="Whether the model takes whole sequences only, and no single steps.")
    created: datetime
    parent: str | None = Field(description="The version that this one was trained from.")
    metrics: dict[str, float] = Field(
        description="Losses measured in training. With bfloat16 weights also how far outputs of random inputs are"
        " from those of float32 weights (`bfloat16_max_error`; `bfloat16_rms_error` relative to the"
        " outputs)."
    )

    @classmethod
    def of(cls, version: ModelVersion, network: Network) -> Self:
        """Return the answer for a stored version, whose network is `network`."""
        return cls(
            model=version.ref,
            name=version.name,
            version=version.version,
            digest=version.digest,
            network=network.spec,
            parameters=[ParameterLine(name=name, shape=list(shape)) for name, shape in network.parameters],
            parameter_count=network.parameter_count,
            state=[StateLine(layer=state.layer, name=state.name, size=state.size) for state in network.states],
            in_size=network.in_size,
            out_size=network.out_size,
            whole_sequences=network.whole_sequences,
            created=time_of(version.created_s),
            parent=version.parent,
            metrics=version.metrics,
        )


class VersionLine(Answer):
    """A version in short."""

    model: str
    version: int
    digest: str
    created: datetime
    parent: str | None
    metrics: dict[str, float]


class ModelLine(Answer):
    """A model in a list, with its versions, oldest first."""

    name: str
    model: str = Field(description="The newest version, which the name alone stands for.")
    versions: list[VersionLine]

    @classmethod
    def of(cls, versions: list[ModelVersion]) -> Self:
        """Return the line of a model with at least one version."""
        return cls(
            name=versions[-1].name,
            model=versions[-1].ref,
            versions=[
                VersionLine(
                    model=version.ref,
                    version=version.version,
                    digest=version.digest,
                    created=time_of(version.created_s),
                    parent=version.parent,
                    metrics=version.metrics,
                )
                for version in versions
            ],
        )


class ModelsAnswer(Answer):
    """All models, by name."""

    models: list[ModelLine]
