"""The cases of the benchmarks: shapes of networks and calls."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

CellName = Literal["lstm", "gru_torch"]

CELLS: tuple[CellName, ...] = ("lstm", "gru_torch")

GATES = {"lstm": 4, "gru_torch": 3}


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and the numbers of steps and rows in a call."""

    cell: CellName
    in_size: int
    hidden: int
    steps: int
    rows: int
    layers: int = 1
    head: bool = False
    """A dense layer from the last hidden state to one number."""

    @property
    def name(self) -> str:
        """Return the name of the case in tables."""
        shape = f"{self.in_size}-{self.hidden}" if self.layers == 1 else f"{self.in_size}-{self.layers}x{self.hidden}"
        return f"{self.cell} {shape} T{self.steps} B{self.rows}"

    @property
    def sizes(self) -> list[int]:
        """Return the input size of each recurrent layer."""
        return [self.in_size] + [self.hidden] * (self.layers - 1)

    @property
    def weight_bytes(self) -> int:
        """Return the bytes of all matrices in float32; a step reads each at least once."""
        recurrent = sum(GATES[self.cell] * self.hidden * (size + self.hidden) for size in self.sizes)
        return 4 * (recurrent + self.hidden * self.head)

    @property
    def flops(self) -> int:
        """Return the floating-point operations of the matrix products of a call: two for each weight, step and row."""
        return self.weight_bytes // 4 * 2 * self.steps * self.rows

    @property
    def single_step(self) -> bool:
        """Return whether the call is one step of one stream."""
        return self.steps == self.rows == 1

    def of(self, steps: int, rows: int) -> "Case":
        """Return the same network with another shape of the call."""
        return replace(self, steps=steps, rows=rows)


SIZES = ((8, 32), (32, 128), (64, 256), (128, 512))
CALLS = ((1, 1), (100, 1), (1, 16), (1, 64), (50, 64))

# The shapes of the STAC-ML Markets (Inference) models LSTM_A and LSTM_B.
STACK_A = Case("lstm", 100, 100, 1, 1, layers=2, head=True)
STACK_B = Case("lstm", 250, 200, 1, 1, layers=3, head=True)

STACKS = (STACK_A, STACK_A.of(50, 1), STACK_B, STACK_B.of(100, 1))

CUSTOM = (Case("lstm", 32, 128, 1, 1), Case("lstm", 32, 128, 50, 64))
"""The cases in which an LSTM that is written as custom equations is compared with the built-in one."""


def inference() -> Iterator[Case]:
    """Yield the cases of inference, one network after the other."""
    for cell in CELLS:
        for in_size, hidden in SIZES:
            yield from (Case(cell, in_size, hidden, steps, rows) for steps, rows in CALLS)
    yield from STACKS


TRAINING_SIZES = ((4, 16), (8, 32), (32, 64), (32, 128), (64, 256))


def training() -> Iterator[Case]:
    """Yield the cases of training, in which a call is one update."""
    for cell in CELLS:
        for in_size, hidden in TRAINING_SIZES:
            yield from (Case(cell, in_size, hidden, 50, rows) for rows in (32, 64))
