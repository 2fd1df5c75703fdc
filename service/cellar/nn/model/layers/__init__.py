"""Kinds of layers, one in each module. `NAMES` lists the modules in the order in which errors and schemas name them."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field

from cellar.nn.model.lowering import MAX_LAYERS, LayerSpec
from cellar.nn.spec.kinds import load, one_of

NAMES = (
    "recurrent",
    "dense",
    "bidirectional",
    "reverse",
    "dropout",
    "layer_norm",
    "embedding",
    "readings",
    "residual",
    "forecast",
)

LAYERS = load(__name__, LayerSpec, NAMES)


def _not_empty(layers: tuple[Any, ...]) -> tuple[Any, ...]:
    """Check here, because as a constraint it would also report a list whose only layer has a fault."""
    if not layers:
        raise ValueError("at least one layer is needed")
    return layers


if TYPE_CHECKING:  # pydantic needs the union of all classes, which only exists at run time
    Layers = tuple[LayerSpec, ...]
else:
    Layers = Annotated[
        tuple[one_of(LAYERS), ...],
        Field(strict=False, max_length=MAX_LAYERS, fail_fast=True, json_schema_extra={"minItems": 1}),
        AfterValidator(_not_empty),
    ]

for kind in LAYERS:
    kind.model_rebuild(_types_namespace={"Layers": Layers})
