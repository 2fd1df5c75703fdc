"""The base of the networks whose sessions learn: the block of a session behind its state, and what is done with it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import cached_property, partial

import numpy as np

from cellar.engine import Floats, Ints, Mask, Run, States
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.learning.layout import ReadoutLayout
from cellar.nn.learning.learnt import LearningSizes, Learnt
from cellar.nn.learning.spec import Learning


class LearningNetwork(ABC):
    """The network of a version for sessions that learn. Safe to share between threads."""

    code = None
    """A call has rows of this version only."""

    _delta_shape: tuple[int, ...] = (-1,)
    """The shape of what a session has learnt."""

    def __init__(self, bound: BoundNetwork, learning: Learning) -> None:
        self.learning = learning.text
        self._bound, self._learning = bound, learning
        self.layout = ReadoutLayout(learning, bound.network.state_size)
        self.network = LearningSizes.of(bound.network, self.layout)

    @property
    @abstractmethod
    def size_bytes(self) -> int:
        """The memory of the weights."""

    @property
    @abstractmethod
    def flops(self) -> int:
        """The number of floating-point operations of a step of one row."""

    @abstractmethod
    def learn(self, state: bytes, places: Sequence[int], targets: Floats) -> bytes:
        """Return the state after targets (n, outputs) of steps, by how many steps ago they were: 1 for the last one.

        Raise StateNotFinite if a number would not be finite.
        """

    @abstractmethod
    def _run(
        self, executor: Executor | None, inputs: Floats, state: States, lengths: Ints | None, reset: Mask | None
    ) -> Run:
        """Step T times."""

    def rows(self, count: int) -> bytes:
        """Return nothing: there is no code for which rows are named."""
        del count
        return b""

    @cached_property
    def advance(self) -> Callable[[Floats, States, Ints | None, Mask | None], Run]:
        """Do the same as `run`, on this thread: the arguments are the first three of `run`, and `reset`."""
        return partial(self._run, None)

    def initial_state(self, rows: int) -> Floats:
        """Return the state (rows, state_size) of sessions that have learnt nothing."""
        block = np.repeat(self.layout.initial()[None], rows, axis=0)
        return np.concatenate([self._bound.initial_state(rows), block], axis=1)

    def run(
        self,
        inputs: Floats,
        state: States,
        lengths: Ints | None = None,
        *,
        reset: Mask | None = None,
        executor: Executor | None = None,
    ) -> Run:
        """Step T times, as `BoundNetwork.run`. Rows under the mask `reset` keep what they have learnt."""
        return self._run(executor, inputs, state, lengths, reset)

    def learnt(self, state: bytes) -> Learnt:
        """Return the weights and errors of a session."""
        block = np.frombuffer(state, np.float32)[self.layout.base :]
        window = block[self.layout.steps].reshape(self.layout.window, -1)
        return Learnt(self._learning, block, window, block[self.layout.delta].reshape(self._delta_shape))

    def restarted(self, state: bytes) -> bytes:
        """Return the initial state with what the session has learnt."""
        after = np.frombuffer(bytearray(state), np.float32)
        after[: self.layout.base] = self._bound.initial_state(1)[0]
        return after.tobytes()

    def reopened(self, state: bytes) -> bytes:
        """Return a state in which no step waits for a target."""
        after = np.frombuffer(bytearray(state), np.float32)
        after[self.layout.base + 1] = 0
        return after.tobytes()

    def forgotten(self, state: bytes) -> bytes:
        """Return a state in which nothing is learnt, and no step waits for a target."""
        after = np.frombuffer(bytearray(state), np.float32)
        after[self.layout.base :] = self.layout.initial()
        return after.tobytes()
