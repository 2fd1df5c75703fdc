"""The JSON of a network: a chain of layers, some of which hold others. Frozen values without behaviour."""

import re
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    ValidationInfo,
)
from pydantic_core import core_schema

from cellar.cells import BUILT_IN

MAX_SIZE = 16_384
"""The largest input, hidden or output size. The sizes of a whole network are bounded by its parameters."""
MAX_LAYERS = 64
"""Layers that are no composite: those inside residual and bidirectional ones count."""
MAX_NESTING = 8
"""Residual layers within each other."""
MAX_PARAMETERS = 16 * 1024 * 1024
"""64 MiB of float32: the largest blob that is kept in Redis."""
MAX_STATE = 256 * 1024
"""Numbers of state in a row: 1 MiB that every step writes to Redis."""

Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Activation = Literal["identity", "tanh", "relu", "sigmoid", "softplus", "softmax"]
RecurrentActivation = Literal["tanh", "relu", "sigmoid", "softplus", "identity"]
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Modulus = Annotated[float, Field(ge=1e-6, le=0.999999)]
Angle = Annotated[float, Field(ge=1e-6, le=3.14159)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Epsilon = Annotated[float, Field(ge=1e-12, le=1)]
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Positive = Annotated[int, Field(ge=1, le=1_000_000_000)]
PARAMETER_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
ParameterName = Annotated[str, Field(pattern=PARAMETER_PATTERN)]


_DIGITS = re.compile(r"[+-]?[0-9]{1,18}")
"""An integer in a query."""

MOST_EXACT = 2**53
"""Beyond it a float64 is not one whole number alone."""


def whole(value: Any) -> Any:
    """Return a number without a fraction as an integer: in JSON 7.0 is one, and some languages write no other.

    >>> whole(7.0), whole(7.5), whole("7")
    (7, 7.5, '7')
    """
    return int(value) if type(value) is float and value.is_integer() and abs(value) <= MOST_EXACT else value


def _read_whole(value: Any, info: ValidationInfo) -> Any:
    """Return what an integer is in a document or in a query; pydantic takes it for one of a document from here on."""
    if str(info.mode) == "string" and isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else value
    return whole(value)


def _taking_whole_numbers(schema: Any) -> Any:
    """Return a schema of pydantic whose integers, wherever they stand in it, may be written with a fraction of 0."""
    if isinstance(schema, list):
        return [_taking_whole_numbers(part) for part in schema]
    if not isinstance(schema, dict) or _takes_whole_numbers(schema):
        return schema
    if schema.get("type") == "int":
        return core_schema.with_info_before_validator_function(_read_whole, cast(core_schema.IntSchema, schema))
    return {name: _taking_whole_numbers(part) for name, part in schema.items()}


def _takes_whole_numbers(schema: dict[str, Any]) -> bool:
    """Return whether this is an integer of a model within, which is done already."""
    return schema.get("type") == "function-before" and schema["function"].get("function") is _read_whole


class Frozen(BaseModel):
    """A value of a request: unknown fields, strings for numbers, booleans for numbers and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Return the schema of the fields, in which 7.0 is an integer."""
        return cast(core_schema.CoreSchema, _taking_whole_numbers(handler(source)))


class Constant(Frozen):
    """Every element the same number."""

    constant: Number


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"the lowest number ({low:g}) must not be above the highest ({high:g})")
    return bounds


class Uniform(Frozen):
    """Every element drawn evenly between two numbers."""

    uniform: Annotated[tuple[Number, Number], Field(strict=False), AfterValidator(_in_order)] = Field(
        description="Lowest and highest number."
    )


class FanIn(Frozen):
    """Every element drawn evenly around 0 with the variance `fan_in` / columns: He's is 2, Lecun's 1."""

    fan_in: Annotated[float, Field(gt=0, le=100)]


class Ring(Frozen):
    """log(-log(r)) of a modulus r: exp(-exp(value)) is evenly spread on that ring of the unit disc."""

    ring: Annotated[tuple[Modulus, Modulus], Field(strict=False), AfterValidator(_in_order)] = Field(
        description="Lowest and highest modulus."
    )


class Phase(Frozen):
    """log(tan(angle / 2)) of an angle that is drawn evenly between two numbers, in radians."""

    phase: Annotated[tuple[Angle, Angle], Field(strict=False), AfterValidator(_in_order)] = Field(
        description="Lowest and highest angle, radians."
    )


FORMS: dict[str, type[Frozen]] = {
    "constant": Constant,
    "uniform": Uniform,
    "fan_in": FanIn,
    "ring": Ring,
    "phase": Phase,
}


def _initialiser_kind(value: Any) -> str:
    """Choose the one form to check against, so that a fault is reported once and not once for every form."""
    for kind, form in FORMS.items():
        if isinstance(value, form) or (isinstance(value, dict) and kind in value):
            return kind
    return "uniform" if isinstance(value, dict) else "named"


def _cell_kind(value: Any) -> str:
    return "equations" if isinstance(value, dict | EquationsSpec) else "name"


NamedInitialiser = Literal["zeros", "ones", "identity", "glorot_uniform"]
Initialiser = Annotated[
    Annotated[NamedInitialiser, Tag("named")]
    | Annotated[Constant, Tag("constant")]
    | Annotated[Uniform, Tag("uniform")]
    | Annotated[FanIn, Tag("fan_in")]
    | Annotated[Ring, Tag("ring")]
    | Annotated[Phase, Tag("phase")],
    Discriminator(_initialiser_kind),
]
Initialisers = dict[ParameterName, Initialiser]


class EquationsSpec(Frozen):
    """A cell of one's own, in the cell language."""

    equations: str = Field(
        max_length=4096, description="Equations, one on each line: `h = tanh(Wxh @ x + Whh @ h + b)`."
    )
    sizes: dict[ParameterName, Size] = Field(
        default_factory=dict, description="Sizes by name that the equations declare besides `in` and `hidden`."
    )
    init: Initialisers = Field(
        default_factory=dict,
        description="How parameters begin, by name. Default: matrices glorot_uniform, everything else zeros.",
    )


class RecurrentSpec(Frozen):
    """A cell over time."""

    type: Literal["recurrent"] = "recurrent"
    cell: Annotated[
        Annotated[str, Tag("name")] | Annotated[EquationsSpec, Tag("equations")], Discriminator(_cell_kind)
    ] = Field(description=f"A built-in cell by name ({', '.join(BUILT_IN)}), or equations.")
    hidden_size: Size
    activation: RecurrentActivation | None = Field(None, description="Of the cell rnn only. Default: tanh.")
    trainable_state: bool = Field(False, description="Whether the initial state is trained; otherwise it is zero.")
    init: Initialisers = Field(
        default_factory=dict, description="How parameters begin, by name, instead of the default of the cell."
    )


class DenseSpec(Frozen):
    """`activation(W @ x + b)` at every step."""

    type: Literal["dense"] = "dense"
    out_size: Size
    activation: Activation = "identity"
    bias: bool = True
    init: Initialisers = Field(
        default_factory=dict, description="How `W` and `b` begin. Default: glorot_uniform and zeros."
    )


class BidirectionalSpec(Frozen):
    """A recurrent layer and another one that reads each sequence from its end; their outputs stand side by side.

    A network with such a layer takes whole sequences only.
    """

    type: Literal["bidirectional"] = "bidirectional"
    layer: RecurrentSpec
    reverse_layer: RecurrentSpec | None = Field(
        None, description="The layer that reads from the end, if it is another one. Default: as `layer`."
    )


class ReverseSpec(Frozen):
    """A recurrent layer that reads each sequence from its end. Its output at a step is the one that belongs there.

    A network with such a layer takes whole sequences only.
    """

    type: Literal["reverse"] = "reverse"
    layer: RecurrentSpec


class DropoutSpec(Frozen):
    """In training every number is 0 with this probability, else it grows by 1 / (1 - rate). Does nothing elsewhere."""

    type: Literal["dropout"] = "dropout"
    rate: Annotated[float, Field(ge=0, lt=1)]


class LayerNormSpec(Frozen):
    """`g * layernorm(x) + b` at every step (arXiv:1607.06450)."""

    type: Literal["layer_norm"] = "layer_norm"
    init: Initialisers = Field(default_factory=dict, description="How `g` and `b` begin. Default: ones and zeros.")


class EmbeddingSpec(Frozen):
    """A row of the matrix `W` for each id. Only as the first layer, of a network whose one input is the id."""

    type: Literal["embedding"] = "embedding"
    count: Size = Field(description="Ids: whole numbers from 0 to count - 1.")
    out_size: Size
    init: Initialisers = Field(
        default_factory=dict, description="How `W` begins. Default: uniform around 0 with variance 1."
    )


def _not_empty(layers: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check here, because as a constraint it would also report a list whose only layer has a fault."""
    if not layers:
        raise ValueError("at least one layer is needed")
    return layers


class ResidualSpec(Frozen):
    """x + layers(x)."""

    type: Literal["residual"] = "residual"
    layers: "Layers" = Field(
        description="The layers, from first to last. The last has as many outputs as the first has inputs."
    )


LayerSpec = Annotated[
    RecurrentSpec
    | DenseSpec
    | BidirectionalSpec
    | ReverseSpec
    | DropoutSpec
    | LayerNormSpec
    | EmbeddingSpec
    | ResidualSpec,
    Field(discriminator="type"),
]
Layers = Annotated[
    tuple[LayerSpec, ...],
    Field(strict=False, max_length=MAX_LAYERS, fail_fast=True, json_schema_extra={"minItems": 1}),
    AfterValidator(_not_empty),
]


def _not_too_deep(layers: Any) -> Any:
    """Check what is nested before anything looks into it."""
    level = layers
    for _ in range(MAX_NESTING + 1):
        inner = [layer.get("layers") for layer in level if isinstance(layer, dict)] if isinstance(level, list) else []
        level = [layer for group in inner if isinstance(group, list) for layer in group]
    if level:
        raise ValueError(f"layers are nested too deeply: at most {MAX_NESTING} residual ones may be within each other")
    return layers


class NetworkSpec(Frozen):
    """A chain: each layer reads what the one before it answers."""

    in_size: Size
    layers: Annotated[Layers, BeforeValidator(_not_too_deep)] = Field(description="The layers, from first to last.")
    weight_storage: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="How matrices are stored for serving. bfloat16 rounds them to eight bits and halves the"
        " memory that a step reads. Sums and training stay float32.",
    )


ResidualSpec.model_rebuild()
