"""What a loss is: settings, equations of one step and row, and which targets it compares outputs with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.nn.spec.base import Frozen

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TargetFault:
    """A rule that targets must keep: where (T, B, ...) it is broken, in which words, and what is expected."""

    places: NDArray[np.bool_]
    detail: str
    expected: str


class Loss(Frozen):
    """The base of all losses. The docstring of each is its line in the docs and in the JSON schema.

    `equations` compute `output`, one number, from the outputs `x` and the `target` of a step. Their parameters are
    scalars with the names of the settings.
    """

    type: str
    equations: ClassVar[str]
    forecasts: ClassVar[bool]
    """Whether outputs have the scale of the targets, so that a forecast can be compared with the last value."""

    def scalars(self) -> dict[str, float]:
        """Return the parameters of the equations."""
        return self.model_dump(exclude={"type"})

    def target_sizes(self, out_size: int) -> set[int]:
        """Return how many numbers a target may have. Raise InvalidInput for outputs that the loss cannot compare."""
        return {out_size}

    def faults(self, targets: Array, out_size: int) -> Iterator[TargetFault]:
        """Yield the rules for targets (T, B, size), of which the first that is broken is reported."""
        yield from ()

    def compared(self, targets: Array, out_size: int) -> Array:
        """Return what the equations read for targets (T, B, size) that have no fault: (T, B, out_size)."""
        return targets

    def read_targets(self, targets: Array, out_size: int, *, first: int, pointer: str) -> Array:
        """Return what the equations read, (T - first, B, out_size), for the targets (T, B, size) of all steps.

        Steps before `first` are not scored and may hold anything. Raise InvalidInput with that pointer for the
        earliest fault, without the number: it may be private.
        """
        scored = targets[first:]
        for fault in self.faults(scored, out_size):
            if fault.places.any():
                step, row = np.argwhere(fault.places)[0, :2].tolist()
                detail = f"{fault.detail}: step {first + step}, row {row}, from 0"
                raise InvalidInput(detail, pointer=pointer, expected=fault.expected)
        return self.compared(scored, out_size)


def no_probability(targets: Array) -> TargetFault:
    """Return the rule that targets are probabilities."""
    return TargetFault((targets < 0) | (targets > 1), "a target is no probability", "numbers from 0 to 1")
