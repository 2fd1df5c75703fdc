"""Specifications of hosted graphs as JSON: what a request declares about a graph, and what was found out about it."""

import hashlib
import json
import math
from typing import Annotated, Any, Literal

from pydantic import Field

from cellar.nn.spec.base import Frozen
from cellar.onnx_graph.element_types import TYPES, ElementType, TypeName

ENGINE = "onnxruntime"

MAX_TENSORS = 64
"""The most inputs, states and outputs of a graph, each."""

TensorName = Annotated[str, Field(min_length=1, max_length=128)]
Dimension = Annotated[int, Field(ge=1, le=2**24)] | Literal["batch"]
"""A size, or the word for the axis of the rows of a session."""
Shape = Annotated[tuple[Dimension, ...], Field(max_length=8, strict=False)]


class GraphOptions(Frozen):
    """The declarations of a request about a graph of ONNX. Those that are left out are found in the graph."""

    states: dict[TensorName, TensorName] | None = Field(
        None,
        max_length=MAX_TENSORS,
        description='The output that is the next value of each input that is a state: `{"h0": "hn"}`; `{}` for none.'
        " Default: found by names, shapes and ancestry.",
    )
    shapes: dict[TensorName, Shape] = Field(
        default_factory=dict,
        max_length=MAX_TENSORS,
        description='Shapes of inputs and states whose axes are not fixed in the graph: `{"input": ["batch", 576]}`.'
        " `batch` is the axis of the rows of a session.",
    )
    constants: dict[TensorName, Any] = Field(
        default_factory=dict,
        max_length=MAX_TENSORS,
        description='Inputs that are the same in every step, as numbers or nested arrays: `{"sr": 16000}`.',
    )
    example: dict[TensorName, Any] = Field(
        default_factory=dict,
        max_length=MAX_TENSORS,
        description="Inputs with which the graph is tried before it is published. Default: small random numbers, and"
        " zero for integers.",
    )
    outputs: Annotated[tuple[TensorName, ...], Field(strict=False, max_length=MAX_TENSORS)] | None = Field(
        None, description="The outputs that a step answers, in this order. Default: all that are no states."
    )
    micro_batches: bool | None = Field(
        None,
        description="Whether rows of several sessions may share a run of the graph. With false each row is run alone,"
        " and its bits do not depend on other rows. Default: where the graph has a batch axis.",
    )


class TensorSpec(Frozen):
    """An input or output of a graph, for one row at a time where an axis is called `batch`."""

    name: TensorName
    type: TypeName
    shape: Shape

    @property
    def kind(self) -> ElementType:
        """Return the type of the elements."""
        return TYPES[self.type]

    @property
    def batch_axis(self) -> int | None:
        """Return the axis of the rows, None if there is none."""
        return self.shape.index("batch") if "batch" in self.shape else None

    @property
    def size(self) -> int:
        """Return the number of elements of a row."""
        return math.prod(self.row_shape)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Return the shape of a row, without the batch axis."""
        return tuple(size for size in self.shape if size != "batch")

    def full_shape(self, rows: int) -> tuple[int, ...]:
        """Return the shape of the tensor for this many rows."""
        return tuple(rows if size == "batch" else size for size in self.shape)


class StateSpec(TensorSpec):
    """A state: an input of a graph, and the output that is its next value."""

    output: TensorName
    found: Literal["declared", "name", "ancestry", "shape"] = Field(
        description="How the pair was found: it was declared; or by the names of both; by a recurrent operator that"
        " begins with the one and ends with the other; or as the only pair of this type and shape, of which the output"
        " is computed from the input."
    )


class ConstantSpec(TensorSpec):
    """An input that is the same in every step."""

    value: Any = Field(description="A number, or nested arrays.")


class HostedGraph(Frozen):
    """A graph as it is hosted: everything that a session needs to know about it."""

    engine: Literal["onnxruntime"] = "onnxruntime"
    inputs: tuple[TensorSpec, ...] = Field(
        strict=False, description="Inputs of a step. A step's numbers are those of each input, one after the other."
    )
    constants: tuple[ConstantSpec, ...] = Field(strict=False, description="Inputs that are the same in every step.")
    states: tuple[StateSpec, ...] = Field(strict=False, description="States, in the order in which a session has them.")
    outputs: tuple[TensorSpec, ...] = Field(strict=False, description="Outputs of a step, one after the other.")
    micro_batches: bool = Field(description="Whether rows of several sessions share a run of the graph.")
    alone_because: str | None = Field(None, description="Why they do not.")
    parameter_count: int = Field(ge=0, description="Numbers in the constants of the graph.")
    bounded: bool = Field(description="Whether the time of a step is the same for all inputs, as far as is known.")

    @property
    def digest(self) -> str:
        """Return a SHA-256 of all that gives the file its meaning; how pairs were found is no part of it."""
        content = self.model_dump(mode="json", exclude={"alone_because": True, "states": {"__all__": {"found"}}})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
