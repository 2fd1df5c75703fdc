"""What is measured: shapes of networks and of calls, as tables."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

CellName = Literal["lstm", "gru_torch"]

CELLS: tuple[CellName, ...] = ("lstm", "gru_torch")

GATES = {"lstm": 4, "gru_torch": 3}


@dataclass(frozen=True, slots=True)
class Case:
    """A network, and how many steps of how many rows a call gives it."""

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
        """Return what the case is called in tables."""
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
        """Return the floating-point operations of a call's products: two a weight, step and row."""
        return self.weight_bytes // 4 * 2 * self.steps * self.rows

    @property
    def single_step(self) -> bool:
        """Return whether the call is one step of one stream."""
        return self.steps == self.rows == 1

    def of(self, steps: int, rows: int) -> "Case":
        """Return the same network called with another shape."""
        return replace(self, steps=steps, rows=rows)


SIZES = ((8, 32), (32, 128), (64, 256), (128, 512))
CALLS = ((1, 1), (100, 1), (1, 16), (1, 64), (50, 64))

# The shapes of the STAC-ML Markets (Inference) models LSTM_A and LSTM_B.
STACK_A = Case("lstm", 100, 100, 1, 1, layers=2, head=True)
STACK_B = Case("lstm", 250, 200, 1, 1, layers=3, head=True)

STACKS = (STACK_A, STACK_A.of(50, 1), STACK_B, STACK_B.of(100, 1))

CUSTOM = (Case("lstm", 32, 128, 1, 1), Case("lstm", 32, 128, 50, 64))
"""Where a cell that is an LSTM under other names is held against the built-in one."""


def inference() -> Iterator[Case]:
    """Yield the cases of inference, one network after the other."""
    for cell in CELLS:
        for in_size, hidden in SIZES:
            yield from (Case(cell, in_size, hidden, steps, rows) for steps, rows in CALLS)
    yield from STACKS


TRAINING_SIZES = ((4, 16), (8, 32), (32, 64), (32, 128), (64, 256))


def training() -> Iterator[Case]:
    """Yield the cases of training: a call is an update on so many steps of so many rows."""
    for cell in CELLS:
        for in_size, hidden in TRAINING_SIZES:
            yield from (Case(cell, in_size, hidden, 50, rows) for rows in (32, 64))
