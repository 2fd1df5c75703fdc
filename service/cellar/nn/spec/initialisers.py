"""The specification of initialisers as JSON: a name, or an object with one member."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from cellar.nn.spec.base import Frozen, ParameterName

Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Modulus = Annotated[float, Field(ge=1e-6, le=0.999999)]
Angle = Annotated[float, Field(ge=1e-6, le=3.14159)]


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
    """Choose the form to validate, so that a fault is reported once and not for each form."""
    for kind, form in FORMS.items():
        if isinstance(value, form) or (isinstance(value, dict) and kind in value):
            return kind
    return "uniform" if isinstance(value, dict) else "named"


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
