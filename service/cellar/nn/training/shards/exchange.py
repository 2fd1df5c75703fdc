"""The arrays that the processes of a job share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.training.shards.team import SHARDS, Memory

DOUBLES = 3
"""The arrays of 8-byte numbers, which come first."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a run."""

    parameters: int
    parts: int
    """Of the objective."""
    rows: int
    """Of the largest batch."""
    state_size: int

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of scales, losses, faults, weights, gradients, and the states before and after a batch."""
        state = self.rows, self.state_size
        return (
            (self.parts,),
            (SHARDS, self.parts),
            (SHARDS, 3),
            (self.parameters,),
            (SHARDS, self.parameters),
            state,
            state,
        )

    @property
    def bytes(self) -> int:
        """The bytes of all arrays: three of 8-byte numbers, and float32."""
        return sum(math.prod(shape) * (8 if index < DOUBLES else 4) for index, shape in enumerate(self.shapes))


class Exchange:
    """The arrays of a request of the first process, and of the answers of the shards."""

    def __init__(self, memory: Memory, sizes: Sizes) -> None:
        shapes = sizes.shapes
        ends = [*accumulate(math.prod(shape) * (8 if index < DOUBLES else 4) for index, shape in enumerate(shapes))]
        parts = [memoryview(memory)[begin:end] for begin, end in pairwise([0, *ends])]
        self.scales: NDArray[np.float64] = np.frombuffer(parts[0], np.float64).reshape(shapes[0])
        self.losses: NDArray[np.float64] = np.frombuffer(parts[1], np.float64).reshape(shapes[1])
        self.faults: NDArray[np.int64] = np.frombuffer(parts[2], np.int64).reshape(shapes[2])
        """Kind, step and row of the first number that is not finite; kind 0: there is none."""
        floats: list[Floats] = [
            np.frombuffer(part, np.float32).reshape(shape)
            for part, shape in zip(parts[DOUBLES:], shapes[DOUBLES:], strict=True)
        ]
        self.weights, self.gradients, self.before, self.after = floats

    def total(self, shards: Sequence[int]) -> tuple[Floats, list[float]]:
        """Return gradient and losses of these shards, summed in pairs, then the sums in pairs, and so on.

        The sums take the places of the gradients.
        """
        left = list(shards)
        while len(left) > 1:
            for one, other in zip(left[::2], left[1::2], strict=False):
                np.add(self.gradients[one], self.gradients[other], out=self.gradients[one])
                np.add(self.losses[one], self.losses[other], out=self.losses[one])
            left = left[::2]
        return self.gradients[left[0]], self.losses[left[0]].tolist()
