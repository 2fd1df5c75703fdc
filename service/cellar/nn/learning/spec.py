"""The specification of what a session learns while it serves."""

import json
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from cellar.nn.spec.base import Frozen

TRUNK: Literal["trunk"] = "trunk"
ADDED: Literal["added"] = "added"

MAX_WINDOW = 4096
"""The most steps for which targets may still come."""


class RlsSpec(Frozen):
    """The last layer is solved by recursive least squares, with every target that comes.

    After each target it minimises the squared errors of all targets so far, older ones weighted down by `forgetting`
    for each later target, plus `ridge` times the squared change of the weights.
    """

    type: Literal["rls"] = "rls"
    forgetting: float = Field(1.0, ge=0.5, le=1, description="Weight of a target when the next one comes; 1: for ever.")
    ridge: float = Field(1e-3, ge=1e-9, le=1e9, description="Weight of the squared change from the base version.")
    window: int = Field(64, ge=1, le=MAX_WINDOW, description="Last steps for which a target may come.")


class BpttSpec(Frozen):
    """Weights are learnt by gradient descent, back through the last steps (truncated backpropagation through time).

    Each request of targets is one update of the mean squared error of their steps.
    """

    type: Literal["bptt"] = "bptt"
    learning_rate: float = Field(0.01, gt=0, le=10, description="How far an update goes against the gradient.")
    clip_norm: float = Field(1.0, gt=0, le=1e6, description="Scale the gradient down to this Euclidean norm.")
    window: int = Field(
        16, ge=1, le=MAX_WINDOW, description="Last steps for which a target may come, and that an update passes."
    )
    layers: tuple[Annotated[int, Field(ge=0, le=9999)], ...] | None = Field(
        None, strict=False, min_length=1, max_length=64, description="Numbers of the layers that learn. Default: all."
    )


LearningSpec = Annotated[
    RlsSpec | BpttSpec, Field(discriminator="type", description="How the session learns while it serves.")
]
_SPEC: TypeAdapter[RlsSpec | BpttSpec] = TypeAdapter(LearningSpec)


class Learning(Frozen):
    """The learning of a session, with the sizes that its model gave: all that the layout of its state needs."""

    spec: LearningSpec
    features: int
    """Inputs of the last layer; with bptt, the numbers of a step before its outputs: state and inputs."""
    outputs: int
    bias: bool
    """Whether the last layer has a bias."""
    layer: int
    """The number of the last layer."""
    weights: int = 0
    """With bptt, the number of weights that learn."""
    part: Literal["", "trunk", "added"] = Field("", exclude_if=lambda value: not value)
    """The part of the network that learns: all; the layers between readings and forecast, in the scale of the forecast;
    or, with RLS, of these the dense layer inside whose outputs are added."""
    states: list[tuple[str, int]] = Field(default_factory=list)
    """Names and sizes of what a session keeps for it, in order; known once the layout is."""

    @property
    def text(self) -> str:
        """The JSON that a session stores."""
        return self.model_dump_json()

    @classmethod
    def spec_of(cls, text: str) -> RlsSpec | BpttSpec:
        """Return the specification in the JSON of one, or of this value."""
        found = json.loads(text)
        return _SPEC.validate_json(json.dumps(found.get("spec", found)))

    @classmethod
    def read(cls, text: str) -> "Learning":
        """Return the value of its JSON."""
        return cls.model_validate_json(text)
