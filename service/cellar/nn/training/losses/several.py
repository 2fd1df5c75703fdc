"""Losses of their own for consecutive outputs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from cellar.errors import InvalidInput
from cellar.nn.spec.base import Frozen, Positive, Rate
from cellar.nn.training.loss import Head, Loss

if TYPE_CHECKING:  # of all other kinds: the package of losses imports this module
    SingleLoss = Loss


class PartSpec(Frozen):
    """Some outputs with their loss."""

    outputs: Positive = Field(description="How many outputs.")
    loss: "SingleLoss" = Field(description="Their loss.")
    weight: Rate = Field(1.0, description="The factor of this loss in the sum.")
    targets: Positive | None = Field(
        None,
        description="How many numbers of a target belong to these outputs. Default: the fewest that the loss allows,"
        " which is one for class indices.",
    )


class SeveralLosses(Loss):
    """The sum of losses of consecutive outputs: `parts` have `outputs`, `loss`, and perhaps `weight` and `targets`."""

    type: Literal["several"]
    parts: Annotated[tuple[PartSpec, ...], Field(strict=False, min_length=1, max_length=64)]
    forecasts: ClassVar[bool] = False
    equations: ClassVar[str] = ""

    def heads(self, out_size: int) -> Sequence[Head]:
        """Return the losses of the parts. Raise InvalidInput if they do not have all outputs."""
        outputs = sum(part.outputs for part in self.parts)
        if outputs != out_size:
            raise InvalidInput(
                f"the parts of the loss have {outputs} outputs, and the model has {out_size}",
                pointer="/loss/parts",
                expected=f"{out_size} outputs",
                actual=f"{outputs} outputs",
            )
        return [self._head(index, part) for index, part in enumerate(self.parts)]

    def _head(self, index: int, part: PartSpec) -> Head:
        pointer = f"/loss/parts/{index}"
        try:
            sizes = part.loss.target_sizes(part.outputs)
        except InvalidInput as error:
            below = (error.pointer or "").removeprefix("/loss")
            raise InvalidInput(
                error.detail, pointer=f"{pointer}/loss{below}", expected=error.expected, actual=error.actual
            ) from error
        if part.targets is not None and part.targets not in sizes:
            allowed = " or ".join(map(str, sorted(sizes)))
            raise InvalidInput(
                f"the loss {part.loss.type} of {part.outputs} outputs has another number of targets",
                pointer=f"{pointer}/targets",
                expected=allowed,
                actual=str(part.targets),
            )
        return Head(part.outputs, part.loss, part.weight, part.targets or min(sizes))
