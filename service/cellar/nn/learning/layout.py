"""The block that a session with a learnt readout keeps behind its state, in float32."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput
from cellar.nn.learning.spec import Learning, RlsSpec
from cellar.nn.model.network import MAX_STATE, NetworkState

HEAD = 7
"""Numbers before the delta: the next place of the window, how many are filled, the number of updates as two numbers,
the weight of the running losses, and these: of the base version, and of the answers."""

COUNT_BASE = 2**20


@dataclass(frozen=True)
class ReadoutLayout:
    """Where the parts of the block are. Counts are in floats."""

    learning: Learning
    base: int
    """The numbers of the state before the block."""

    @property
    def window(self) -> int:
        """The steps of the window."""
        return self.learning.spec.window

    @cached_property
    def weights(self) -> int:
        """The weights of an output: one for each feature, and perhaps a bias. Without a factor: all that learn."""
        return self.learning.weights or self.learning.features + self.learning.bias

    @cached_property
    def place_size(self) -> int:
        """The numbers of a step in the window: features, outputs of the base, answers, targets, and a flag."""
        return self.learning.features + 3 * self.learning.outputs + 1

    @cached_property
    def delta(self) -> slice:
        """The delta in the block: (outputs, weights), with bptt (weights,)."""
        return slice(HEAD, HEAD + self.weights * (1 if self.learning.weights else self.learning.outputs))

    @cached_property
    def factor(self) -> slice:
        """The factor in the block: the columns of the upper triangle, each ending with its element of d."""
        size = 0 if self.learning.weights else self.weights * (self.weights + 1) // 2
        return slice(self.delta.stop, self.delta.stop + size)

    @cached_property
    def _variances(self) -> NDArray[np.int64]:
        """The places of d in the factor."""
        return np.cumsum(np.arange(1, self.weights + 1 if self.factor.stop > self.factor.start else 1)) - 1

    @cached_property
    def steps(self) -> slice:
        """The window in the block: (window, place_size)."""
        return slice(self.factor.stop, self.factor.stop + self.window * self.place_size)

    @property
    def size(self) -> int:
        """The numbers of the block."""
        size: int = self.steps.stop
        return size

    @property
    def state_size(self) -> int:
        """The numbers of the state of a row, with the block."""
        return self.base + self.size

    def states(self) -> tuple[NetworkState, ...]:
        """Return the parts of the block as states."""
        parts = ("counts", slice(0, HEAD)), ("delta", self.delta), ("factor", self.factor), ("window", self.steps)
        return tuple(
            NetworkState(
                self.learning.layer, self.learning.spec.type, name, part.stop - part.start, self.base + part.start
            )
            for name, part in parts
            if part.stop > part.start
        )

    def initial(self) -> Floats:
        """Return the block (size,) before the first step: nothing is learnt."""
        block = np.zeros(self.size, np.float32)
        if isinstance(self.learning.spec, RlsSpec):
            block[self.factor][self._variances] = 1 / self.learning.spec.ridge
        return block

    def check_size(self) -> None:
        """Raise InvalidInput for a state that is too large."""
        if self.state_size > MAX_STATE:
            raise InvalidInput(
                f"the session would keep too much: {self.delta.stop - HEAD} weights,"
                f" {self.factor.stop - self.factor.start} numbers of their factor and {self.window} steps of"
                f" {self.place_size} numbers",
                pointer="/learning",
                expected=f"at most {MAX_STATE} numbers of state: fewer weights, or a shorter window",
                actual=str(self.state_size),
            )

    def check(self, state: Floats, pointer: str) -> None:
        """Raise InvalidInput for a state (rows, state_size) that is written, whose block cannot be one."""
        block = state[:, self.base :]
        cursor, filled, flags = block[:, 0], block[:, 1], block[:, self.steps].reshape(-1, self.place_size)[:, -1]
        counts = block[:, :HEAD]
        variances = block[:, self.factor][:, self._variances]
        whole = (counts[:, :4] == np.floor(counts[:, :4])).all()
        inside = (cursor < self.window).all() and (filled <= self.window).all()
        if not (whole and inside and (counts >= 0).all() and np.isin(flags, (0, 1)).all() and (variances > 0).all()):
            raise InvalidInput(
                "what the session has learnt cannot be this",
                pointer=pointer,
                expected=f"the states of the cell {self.learning.spec.type} as they were read",
            )
