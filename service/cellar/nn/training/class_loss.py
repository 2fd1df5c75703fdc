"""The base of losses whose outputs are the logits of classes: rules of their targets, and weights of classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.spec.base import MAX_SIZE, Factor, is_unused
from cellar.nn.training.loss import Loss, TargetFault, no_probability

SUM_TOLERANCE = 1e-3
"""How far the sum of probabilities may be from 1: they may have been rounded, as 0.333 for each of three."""


class ClassLoss(Loss):
    """The base of losses of classes."""

    class_weights: Annotated[tuple[Factor, ...], Field(strict=False, max_length=MAX_SIZE)] | None = Field(
        None,
        exclude_if=is_unused,
        description="How much each class counts: a number from 0 for each. The loss is the weighted mean.",
    )
    ignore_index: Annotated[int, Field(ge=-1_000_000, le=1_000_000)] | None = Field(
        None, exclude_if=is_unused, description="A class index whose steps do not count, for example -100."
    )
    separable: ClassVar[bool] = False
    forecasts: ClassVar[bool] = False

    def parameters(self, out_size: int) -> Mapping[str, float | Sequence[float]]:
        """Return the settings that only this kind has."""
        found = super().parameters(out_size)
        return {name: value for name, value in found.items() if name not in ClassLoss.model_fields}

    def target_sizes(self, out_size: int) -> set[int]:
        """Return the sizes of a distribution and of a class index."""
        if out_size == 1:
            raise InvalidInput(f"{self.type} compares at least two outputs", pointer="/loss", actual="one output")
        if self.class_weights is not None and len(self.class_weights) != out_size:
            raise InvalidInput(
                f"the model has {out_size} classes",
                pointer="/loss/class_weights",
                expected=f"{out_size} weights",
                actual=f"{len(self.class_weights)} weights",
            )
        return {out_size, 1}

    def target_weights(self, targets: Floats, out_size: int) -> Floats | None:
        """Return the weight of the class of each target; 0 for classes that are ignored."""
        if targets.shape[2] > 1:
            if self.class_weights is None:
                return None
            mean: Floats = (targets @ np.array(self.class_weights, np.float64))[:, :, None].astype(np.float32)
            return mean
        if self.class_weights is None and self.ignore_index is None:
            return None
        weights = np.array(self.class_weights or (1.0,) * out_size, np.float32)
        known = (targets >= 0) & (targets < out_size)
        found = np.where(known, weights[np.where(known, targets, 0).astype(np.int64)], np.float32(1))
        if self.ignore_index is not None:
            found[targets == self.ignore_index] = 0
        return found

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield that targets are class indices if there is one number, else distributions."""
        if targets.shape[2] == 1:
            known = np.isin(targets, np.arange(out_size, dtype=np.float32))
            yield TargetFault(~known, "a target is no class index", f"whole numbers from 0 to {out_size - 1}")
            return
        yield no_probability(targets)
        beside = abs(targets.sum(axis=2, dtype=np.float64) - 1) > SUM_TOLERANCE
        yield TargetFault(beside, "the probabilities of classes do not sum to 1", f"a sum of 1 ± {SUM_TOLERANCE}")

    def compared(self, targets: Floats, out_size: int) -> Floats:
        """Return class indices as distributions, and distributions times the weights of classes."""
        if targets.shape[2] == 1:
            indices: Floats = (targets == np.arange(out_size, dtype=np.float32)).astype(np.float32)
            return indices
        if self.class_weights is None:
            return targets
        # Each step counts with the mean of these weights, so they are divided by it here.
        counted = targets * np.array(self.class_weights, np.float64)
        mean = counted.sum(axis=2, keepdims=True)
        shares: Floats = np.divide(counted, mean, out=np.zeros_like(counted), where=mean > 0).astype(np.float32)
        return shares
