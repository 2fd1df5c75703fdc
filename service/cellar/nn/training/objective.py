"""The objective of a run: one loss of all outputs, or several losses of consecutive outputs, each with a factor.

Each part is the weighted mean of its losses, and the objective is their sum, each times its factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise

from cellar.engine import Cell
from cellar.nn.execution.array_functions import cell
from cellar.nn.training.loss import Loss


@dataclass(frozen=True)
class LossPart:
    """A loss of some outputs."""

    loss: Loss
    outputs: slice
    given: slice
    """The columns of its targets as they are sent; all if it is the only part."""
    compared: slice
    """The columns of its targets as the equations read them."""
    weights: slice
    """The columns of its weights, as many as it has losses of a step and row."""
    factor: float = 1.0

    @property
    def each(self) -> int:
        """Return the number of losses of a step and row: 1, or one for each target."""
        return int(self.weights.stop - self.weights.start)

    @property
    def size(self) -> int:
        """Return the number of outputs that a loss reads."""
        return int(self.outputs.stop - self.outputs.start) // self.each

    @cached_property
    def cell(self) -> Cell:
        """Return the cell of a loss."""
        return cell(self.loss.equations, self.loss.sizes(self.size))


@dataclass(frozen=True)
class Objective:
    """The parts of an objective, in the order of their outputs."""

    parts: tuple[LossPart, ...]
    forecasts: bool = field(init=False)
    """Whether all outputs have the scale of targets."""

    def __post_init__(self) -> None:
        """Determine `forecasts`."""
        object.__setattr__(self, "forecasts", all(part.loss.forecasts for part in self.parts))

    @classmethod
    def of(cls, loss: Loss, out_size: int, *, per_target: bool = False) -> "Objective":
        """Return the objective of a loss. With `per_target` each target has a loss of its own, where that is possible.

        Raise InvalidInput with a pointer below /loss for a size of outputs that the loss cannot use.
        """
        found = list[LossPart]()
        heads = loss.heads(out_size)
        edges = pairwise(accumulate((head.outputs for head in heads), initial=0))
        given = compared = weights = 0
        for head, (begin, end) in zip(heads, edges, strict=True):
            size = end - begin
            targets = head.targets or min(head.loss.target_sizes(size))
            each = size // head.loss.outputs_per_target if per_target and head.loss.separable else 1
            reads = head.loss.sizes(size)["target"]
            sent = slice(given, given + targets) if len(heads) > 1 else slice(None)
            columns = sent, slice(compared, compared + reads), slice(weights, weights + each)
            found.append(LossPart(head.loss, slice(begin, end), *columns, head.factor))
            given, compared, weights = given + targets, compared + reads, weights + each
        return cls(tuple(found))

    @property
    def target_sizes(self) -> set[int]:
        """Return the allowed numbers of targets of a step and row, as they are sent."""
        only, *others = self.parts
        return {self.parts[-1].given.stop} if others else only.loss.target_sizes(only.size * only.each)

    def mean(self, sums: Sequence[float], counts: Sequence[float]) -> float:
        """Return the objective for the sums of the losses of each part, and of their weights."""
        if len(sums) == 1:
            return self.parts[0].factor * (sums[0] / counts[0]) if counts[0] else 0.0
        parts = zip(self.parts, sums, counts, strict=True)
        found = [part.factor * (total / count) for part, total, count in parts if count]
        return sum(found[1:], start=found[0]) if found else 0.0
