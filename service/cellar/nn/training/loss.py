"""The base class of losses: settings, equations of one step and row, and rules for targets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats, Mask
from cellar.errors import InvalidInput
from cellar.nn.spec.base import Frozen


@dataclass(frozen=True, slots=True)
class TargetFault:
    """A rule for targets: the mask (T, B, ...) of those that break it, the text of the error, and what is expected."""

    places: NDArray[np.bool_]
    detail: str
    expected: str


class Head(NamedTuple):
    """Consecutive outputs of a network with a loss of their own."""

    outputs: int
    loss: "Loss"
    factor: float = 1.0
    targets: int | None = None
    """The number of its targets as they are sent; None: the least that the loss allows."""


class Loss(Frozen):
    """The base of all losses. The docstring of each is its line in the docs and in the JSON schema.

    `equations` compute `output`, one number, from the outputs and the `target` of a step. The outputs are `x`, or
    several vectors as `inputs` says. Their parameters are scalars with the names of the settings, or what `parameters`
    returns.
    """

    type: str
    equations: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    """The vectors that the equations read for outputs. If there are several, the outputs of a target are consecutive,
    one for each vector: output 0 is the first number of the first, output 1 the first number of the second."""
    separable: ClassVar[bool] = True
    """Whether it is the mean of the losses of single targets, so that each target can have a weight."""
    forecasts: ClassVar[bool]
    """Whether outputs have the scale of targets, so that they can be compared with the last value."""

    def heads(self, out_size: int) -> Sequence[Head]:
        """Return the losses of consecutive outputs; this one of all outputs, if they have no losses of their own."""
        return (Head(out_size, self),)

    def target_weights(self, targets: Floats, out_size: int) -> Floats | None:
        """Return weights (T, B, 1) that follow from targets (T, B, size), which may break rules; None if all are 1."""
        return None

    @property
    def outputs_per_target(self) -> int:
        """Return how many outputs describe a target."""
        return len(self.inputs)

    def parameters(self, out_size: int) -> Mapping[str, float | Sequence[float]]:
        """Return the parameters of the equations, numbers and vectors, for a size of outputs."""
        return self.model_dump(exclude={"type"})

    def sizes(self, out_size: int) -> dict[str, int]:
        """Return the sizes of the inputs of the equations for a size of outputs."""
        return dict.fromkeys((*self.inputs, "target"), out_size // len(self.inputs))

    def target_sizes(self, out_size: int) -> set[int]:
        """Return the allowed sizes of a target. Raise InvalidInput for a size of outputs that the loss cannot use."""
        each = self.outputs_per_target
        if out_size % each:
            raise InvalidInput(
                f"the loss {self.type} reads {each} outputs for each target",
                pointer="/loss",
                expected=f"a network with a multiple of {each} outputs",
                actual=str(out_size),
            )
        return {out_size // each}

    def faults(self, targets: Floats, out_size: int) -> Iterator[TargetFault]:
        """Yield the rules for targets (T, B, size); the first one that is broken is reported."""
        yield from ()

    def compared(self, targets: Floats, out_size: int) -> Floats:
        """Return valid targets (T, B, size) in the form that the equations read, of the size in `sizes`."""
        return targets

    def read_targets(
        self, targets: Floats, out_size: int, *, first: int, pointer: str, ignored: Mask | None = None
    ) -> Floats:
        """Return the targets (T, B, size) of all steps as the equations read them, those of steps from `first` on.

        Steps before `first` are not scored and may have any values, and so may those under the mask `ignored`
        (T - first, B). Raise InvalidInput with that pointer for the earliest fault, without the number, which may be
        private.
        """
        scored = targets[first:]
        for fault in self.faults(scored, out_size):
            places = fault.places.reshape(*scored.shape[:2], -1).any(axis=2)
            if ignored is not None:
                places &= ~ignored
            if places.any():
                step, row = np.argwhere(places)[0].tolist()
                detail = f"{fault.detail}: step {first + step}, row {row}, from 0"
                raise InvalidInput(detail, pointer=pointer, expected=fault.expected)
        return self.compared(scored, out_size)


def no_probability(targets: Floats) -> TargetFault:
    """Return the rule that targets are probabilities."""
    return TargetFault((targets < 0) | (targets > 1), "a target is no probability", "numbers from 0 to 1")


def counts_only(targets: Floats) -> TargetFault:
    """Return the rule that targets are counts."""
    places = (targets < 0) | (targets != np.floor(targets))
    return TargetFault(places, "a target is no count", "whole numbers from 0")
