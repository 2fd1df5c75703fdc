"""The JSON of a network: a chain of recurrent and dense layers. Frozen values without behaviour."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator

from cellar.cells import BUILT_IN

MAX_SIZE = 16_384
"""The largest input, hidden or output size. The sizes of a whole network are bounded by its parameters."""
MAX_LAYERS = 64
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
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class Frozen(BaseModel):
    """A value of a request: unknown fields, strings for numbers, booleans for numbers and NaN are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


_FORMS: dict[str, type[Frozen]] = {
    "constant": Constant,
    "uniform": Uniform,
    "fan_in": FanIn,
    "ring": Ring,
    "phase": Phase,
}


def _initialiser_kind(value: Any) -> str:
    """Choose the one form to check against, so that a fault is reported once and not once for every form."""
    for kind, form in _FORMS.items():
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

    equations: str = Field(max_length=4096, description="Equations, one a line: `h = tanh(Wxh @ x + Whh @ h + b)`.")
    sizes: dict[ParameterName, Size] = Field(
        default_factory=dict, description="Sizes that the text declares besides `in` and `hidden`, by name."
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
    trainable_state: bool = Field(False, description="Whether the initial state is trained too; else it is zero.")
    init: Initialisers = Field(
        default_factory=dict, description="How parameters begin, by name, instead of as the cell says."
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


LayerSpec = Annotated[RecurrentSpec | DenseSpec, Field(discriminator="type")]


class NetworkSpec(Frozen):
    """A chain: each layer reads what the one before it answers."""

    in_size: Size
    layers: tuple[LayerSpec, ...] = Field(
        strict=False, max_length=MAX_LAYERS, json_schema_extra={"minItems": 1}, description="First to last."
    )

    @field_validator("layers")
    @classmethod
    def _not_empty(cls, layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
        """Check here, because as a constraint it would also report a list whose only layer has a fault."""
        if not layers:
            raise ValueError("a network needs at least one layer")
        return layers
