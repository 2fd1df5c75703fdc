"""Requests that create models and versions, and answers about them and their weights."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from cellar.api.schemas.catalogue.readings import ReadingsMember, readings_of
from cellar.api.schemas.names import TAG_PATTERN, Answer, Layout, ModelName, time_of
from cellar.api.schemas.numbers import Data, nested
from cellar.engine import KERNEL_REV
from cellar.interchange.check import TOLERANCE, Check
from cellar.interchange.safetensors import Names
from cellar.models.index import ListedModel
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.spec.base import Frozen
from cellar.onnx_graph.layout import GraphSizes
from cellar.onnx_graph.runtime import runtime_version
from cellar.onnx_graph.spec import ENGINE, HostedGraph
from cellar.ports import Alias, ModelVersion
from cellar.wire.arrays.layout import check_layout, parse_layout

MOST_TAGS, MOST_CHARACTERS = 32, 4096
"""Tags of a version, and characters of its description."""

Tag = Annotated[str, Field(pattern=TAG_PATTERN)]

TAGS = "Words that its owner has given the version."
DESCRIPTION = "A text that its owner has given the version."
ALIASES = "Aliases that name this version."

Engine = Literal["cells", "onnxruntime"]
Tolerance = Annotated[float, Field(ge=0, le=1e6)]

InlineWeights = Annotated[
    dict[str, Any],
    WithJsonSchema({"type": "object", "additionalProperties": {"anyOf": [nested(1), nested(2), {"type": "number"}]}}),
]
"""Arrays by the names of the parameters, read by `cellar.wire.numbers.numbers` once their shapes are known."""


class CheckRequest(Frozen):
    """Inputs of the original network and the outputs that it computed for them, from its initial state."""

    layout: Layout = Field("TF", description="Axis letters of both: T steps, B rows, F features.")
    inputs: Data = Field(description="Nested arrays of numbers, with an axis for each letter of the layout.")
    outputs: Data = Field(description="The outputs that belong to them, with the same axes.")
    tolerance: Tolerance = Field(TOLERANCE, description="By how much an output may differ.")

    def check(self, pointer: str = "/check") -> Check:
        """Return the arrays. Raise InvalidInput, ShapeMismatch or NotFinite with a pointer."""
        layout = check_layout(self.layout, pointer=f"{pointer}/layout")
        inputs, outputs = (
            parse_layout(value, layout, f"{pointer}/{name}")
            for name, value in (("inputs", self.inputs), ("outputs", self.outputs))
        )
        return Check(inputs, outputs, self.tolerance)


class NewName(Frozen):
    """The name of a model to create."""

    name: ModelName


class VersionRequest(Frozen):
    """A version of a model to publish: a network with weights that are given, or drawn from a seed."""

    network: NetworkSpec
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of the initial weights.")
    weights: InlineWeights | None = Field(
        None,
        description="Weights by the names of the parameters, as `GET /v1/models/{model}` lists them, nested as their"
        " shapes say. Default: drawn from the seed.",
    )
    check: CheckRequest | None = Field(
        None, description="Inputs and outputs that are compared before anything is published. Only with weights."
    )


class ModelRequest(VersionRequest, NewName):
    """A model to create: a network with weights drawn from a seed, or given."""


class UploadQuery(Frozen):
    """Options for weights in a safetensors file: in the query, or in parts of a form."""

    names: Names | None = Field(
        None,
        description="Whose names the tensors have: cellar, or torch for those of a state dict of PyTorch. Default:"
        " cellar if the network is given and `modules` is not, else torch.",
    )
    modules: str | None = Field(
        None,
        max_length=8192,
        description="Modules of PyTorch in the order in which they are called, separated by commas, with functions"
        " where they stand: `lstm,relu,head`, `rnn:tanh,norm:eps=1e-6,elu`. Needed where the names and shapes of the"
        " tensors do not tell it.",
        examples=["lstm,head"],
    )
    ignore: str | None = Field(
        None, max_length=8192, description="Beginnings of the names of tensors that are left out, separated by commas."
    )
    tolerance: Tolerance | None = Field(
        None, description="By how much outputs may differ from the tensor `check.outputs`. Default: 1e-5."
    )
    engine: Engine | None = Field(
        None,
        description="Of a model of ONNX. cells: it is converted to cells, or refused. onnxruntime: ONNX Runtime hosts"
        " the graph as it is. Default: cells if its layers can be expressed so and there is no `graph`, else"
        " onnxruntime.",
    )
    graph: str | None = Field(
        None,
        max_length=65_536,
        description="Options for a model of ONNX that is hosted as it is, as JSON: sizes, states and constants that the"
        " graph itself does not tell.",
        examples=['{"shapes": {"input": ["batch", 576]}, "constants": {"sr": 16000}}'],
    )


class NamedUploadQuery(UploadQuery):
    """The same for a new model."""

    name: ModelName | None = Field(None, description="Name of the model, if the body is no form.")


class UploadForm(Frozen):
    """A multipart form: a file with weights, and the fields that other requests have in JSON."""

    weights: bytes = Field(description="A safetensors file, or a model of ONNX.")
    name: ModelName | None = Field(None, description="Of a new model.")
    network: str | None = Field(None, description="The network as JSON, unless the file or its tensors tell it.")
    check: str | None = Field(None, description="Inputs and outputs to compare, as JSON.")
    names: Names | None = None
    modules: str | None = None
    ignore: str | None = None
    engine: Engine | None = None
    graph: str | None = Field(None, description="Options for a graph that is hosted as it is, as JSON.")


class WeightsAnswer(Answer):
    """The weights of a version as JSON."""

    model: str
    weights: InlineWeights = Field(description="Arrays by name, nested as their shapes say.")


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
    engine: Engine = Field(description="cells: kernels run it. onnxruntime: ONNX Runtime hosts the graph as it is.")
    engine_version: str | None = Field(
        description="The revision of the kernels, or the version of ONNX Runtime, that runs it in this process. null"
        " if ONNX Runtime is not installed here."
    )
    published_with: str | None = Field(
        description="The version of ONNX Runtime with which a graph was published; null for cells."
    )
    bits_promised: bool = Field(
        description="Whether outputs and states have the same bits on every processor, however steps share calls, and"
        " with every version of the engine that has the same revision. True for cells. false for a graph, whose"
        " sessions continue with another version of ONNX Runtime."
    )
    network: NetworkSpec | None = Field(description="The layers. null for a graph that is hosted as it is.")
    readings: ReadingsMember = None
    graph: HostedGraph | None = Field(description="The graph that is hosted as it is, and its states. null for cells.")
    parameters: list[ParameterLine] = Field(description="The weights by name. Empty for a graph.")
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
    tags: list[str] = Field(description=TAGS)
    description: str | None = Field(description=DESCRIPTION)
    aliases: list[str] = Field(description=ALIASES)

    @classmethod
    def of(cls, version: ModelVersion, network: Network | GraphSizes, aliases: Sequence[Alias] = ()) -> Self:
        """Return the answer for a stored version with this network or graph; `aliases` are those of the model."""
        of_engine = _graph_members(version, network) if isinstance(network, GraphSizes) else _cell_members(network)
        return cls(
            model=version.ref,
            name=version.name,
            version=version.version,
            digest=version.digest,
            **of_engine,
            state=[StateLine(layer=state.layer, name=state.name, size=state.size) for state in network.states],
            in_size=network.in_size,
            out_size=network.out_size,
            whole_sequences=network.whole_sequences,
            created=time_of(version.created_s),
            parent=version.parent,
            metrics=version.metrics,
            tags=[*version.tags],
            description=version.description,
            aliases=_names(aliases, version),
        )


def _names(aliases: Sequence[Alias], version: ModelVersion) -> list[str]:
    """Return the names of those aliases that name a version."""
    return [alias.alias for alias in aliases if alias.version == version.version]


def _cell_members(network: Network) -> dict[str, Any]:
    """Return the members of an answer that are about the engine, for a network of cells."""
    return {
        "engine": "cells",
        "engine_version": str(KERNEL_REV),
        "published_with": None,
        "bits_promised": True,
        "network": network.spec,
        "readings": readings_of(network),
        "graph": None,
        "parameters": [ParameterLine(name=name, shape=list(shape)) for name, shape in network.parameters],
        "parameter_count": network.parameter_count,
    }


def _graph_members(version: ModelVersion, sizes: GraphSizes) -> dict[str, Any]:
    """Return the same members for a graph that is hosted as it is."""
    return {
        "engine": ENGINE,
        "engine_version": runtime_version(),
        "published_with": (version.origin or {}).get("published_with"),
        "bits_promised": False,
        "network": None,
        "graph": sizes.graph,
        "parameters": [],
        "parameter_count": sizes.graph.parameter_count,
    }


class VersionLine(Answer):
    """A version in short."""

    model: str
    version: int
    digest: str
    created: datetime
    parent: str | None
    metrics: dict[str, float]
    tags: list[str] = Field(description=TAGS)
    description: str | None = Field(description=DESCRIPTION)
    aliases: list[str] = Field(description=ALIASES)

    @classmethod
    def of(cls, version: ModelVersion, aliases: Sequence[Alias]) -> Self:
        """Return the line of a version; `aliases` are those of the model."""
        return cls(
            model=version.ref,
            version=version.version,
            digest=version.digest,
            created=time_of(version.created_s),
            parent=version.parent,
            metrics=version.metrics,
            tags=[*version.tags],
            description=version.description,
            aliases=_names(aliases, version),
        )


class VersionsAnswer(Answer):
    """A page of versions of a model, oldest first."""

    versions: list[VersionLine]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')


class ModelLine(Answer):
    """A model in a list, with its versions, oldest first; only those that the filters select."""

    name: str
    model: str = Field(description="The newest version, which the name alone stands for.")
    versions: list[VersionLine]

    @classmethod
    def of(cls, listed: ListedModel) -> Self:
        """Return the line of a model."""
        return cls(
            name=listed.newest.name,
            model=listed.newest.ref,
            versions=[VersionLine.of(version, listed.aliases) for version in listed.versions],
        )


class ModelsAnswer(Answer):
    """A page of models, by name."""

    models: list[ModelLine]
    cursor: str = Field(description='Send it to read the next page; "" at the end.')


class DescriptionRequest(Frozen):
    """New tags, a new description of a version, or both. Members that are absent are not changed."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS, json_schema_extra={"uniqueItems": True})] | None = Field(
        None, description=TAGS + " All of them are replaced."
    )
    description: Annotated[str, Field(max_length=MOST_CHARACTERS)] | None = Field(
        None, description=DESCRIPTION + " An empty text removes it."
    )

    @field_validator("tags")
    @classmethod
    def _once(cls, tags: list[str] | None) -> list[str] | None:
        if tags is not None and len(set(tags)) < len(tags):
            raise ValueError("expected each tag once")
        return tags

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.tags is None and self.description is None:
            raise ValueError("expected `tags` or `description`")
        return self
