"""Which rows of a session take part in a step, and which are put into the initial state before it.

Source: docs/reference/steps.md, section Rows; for frames docs/reference/frames.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[int] | NDArray[Any]
"""Numbers of rows, or of their steps."""

Reset = bool | Sequence[bool] | Sequence[Sequence[bool]] | NDArray[Any]
"""Rows that are put into the initial state: all or none before the first step, a boolean for each row, or for each step
of a sequence a boolean for each row, or one."""

RESET, ABSENT = 1, 2
"""Flags of a row of a step in a frame: it is reset before the step, or takes no part in it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a request. `numbers` are those that its inputs have, `lengths` how many steps each has."""

    reset: bool | list[Any] = False
    numbers: list[int] | None = None
    lengths: list[int] | None = None

    @classmethod
    def of(cls, reset: Reset, rows: Numbers | None = None, lengths: Numbers | None = None) -> "Rows":
        """Return the rows of a request, whose members may be arrays."""
        if reset is False and rows is None and lengths is None:
            return ALL
        flags = reset if isinstance(reset, bool) else np.asarray(reset, bool).tolist()
        return cls(flags, *(None if each is None else [int(number) for number in each] for each in (rows, lengths)))

    def members(self) -> dict[str, Any]:
        """Return them as members of a JSON body, and of a state file."""
        named = {"reset": self.reset or None, "rows": self.numbers, "lengths": self.lengths}
        return {name: value for name, value in named.items() if value is not None}

    def params(self) -> dict[str, str]:
        """Return them as query parameters."""
        found = {}
        if self.reset:
            found["reset"] = "true" if self.reset is True else _digits(self.reset)
        for name, numbers in (("rows", self.numbers), ("lengths", self.lengths)):
            if numbers is not None:
                found[name] = ",".join(map(str, numbers))
        return found

    def parts(self, steps: int, rows: int) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the reset, the row flags and the row numbers of a record in a frame; None if it has none."""
        numbers = None if self.numbers is None else np.array(self.numbers, "<u4").tobytes()
        reset = np.atleast_1d(np.asarray(self.reset, bool))
        if self.lengths is None and reset.ndim == 1:
            return (np.broadcast_to(reset, rows).tobytes() if reset.any() else None), None, numbers
        flags = np.zeros((steps, rows), np.uint8)
        before = np.atleast_2d(reset)
        flags[: len(before)] = RESET * before
        if self.lengths is not None:
            flags[np.arange(steps)[:, None] >= self.lengths] = ABSENT
        return None, flags.tobytes(), numbers

    def without_padding(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return inputs (T, F) or (T, B, F) with zeros in their padding, which may be NaN: JSON has none."""
        inputs = inputs.copy()
        for row, length in enumerate(self.lengths or ()):
            padding = inputs[length:] if inputs.ndim == 2 else inputs[length:, row]
            padding[:] = 0
        return inputs


ALL = Rows()
"""All rows, and none is reset."""


def _digits(reset: list[Any]) -> str:
    steps = reset if reset and isinstance(reset[0], list) else [reset]
    return ",".join("".join(str(int(row)) for row in step) for step in steps)
