"""The specification of a network as JSON: a chain of layers, some of which contain others."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from cellar.nn.model.layers import Layers
from cellar.nn.spec.base import Frozen, Size

MAX_NESTING = 8
"""The deepest nesting of residual layers."""


def _not_too_deep(layers: Any) -> Any:
    """Check the nesting before the layers are validated."""
    level = layers
    for _ in range(MAX_NESTING + 1):
        inner = [layer.get("layers") for layer in level if isinstance(layer, dict)] if isinstance(level, list) else []
        level = [layer for group in inner if isinstance(group, list) for layer in group]
    if level:
        raise ValueError(f"layers are nested too deeply: at most {MAX_NESTING} residual ones may be within each other")
    return layers


class NetworkSpec(Frozen):
    """A chain of layers: each layer reads the output of the one before it."""

    in_size: Size
    layers: Annotated[Layers, BeforeValidator(_not_too_deep)] = Field(description="The layers, from first to last.")
    weight_storage: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="How matrices are stored for serving. bfloat16 rounds them to eight bits and halves the"
        " memory that a step reads. Sums and training stay float32.",
    )
