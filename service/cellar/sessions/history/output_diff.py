"""Measures how the outputs of two versions differ on the same inputs."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from cellar.ports import LogEntry
from cellar.sessions.history.log_replay import LogReplay

LAST = 16
"""The number of latest changes whose largest differences are kept."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference in the outputs of one change."""

    after: str
    """The position after the change."""
    largest: float


@dataclass(slots=True)
class Differences:
    """Absolute differences of single numbers, over all steps that were compared."""

    steps: int = 0
    numbers: int = 0
    largest: float = 0.0
    total: float = 0.0
    last: deque[Difference] = field(default_factory=lambda: deque(maxlen=LAST))
    """Differences of the latest changes, oldest first."""

    @property
    def mean(self) -> float:
        """The mean over all numbers, 0 if there are none."""
        return self.total / self.numbers if self.numbers else 0.0


async def compare(entry: LogEntry, own: LogReplay, other: LogReplay, differences: Differences) -> None:
    """Run the next change in two replays, a part at a time, and add the differences of their outputs.

    Both must have the same rows and the same size of outputs. Raise as `LogReplay.outputs`.
    """
    largest, its = 0.0, other.outputs(entry)
    async for mine in own.outputs(entry):
        apart = np.abs(mine.astype(np.float64) - await anext(its))
        largest = max(largest, float(apart.max()))
        differences.total += float(apart.sum())
        differences.numbers += apart.size
    async for _ in its:  # runs the rest of the generator, which sets the position of the replay
        raise AssertionError("more outputs than the other version has")
    if entry.steps:
        differences.steps += entry.steps
        differences.largest = max(differences.largest, largest)
        differences.last.append(Difference(str(entry.after), largest))
