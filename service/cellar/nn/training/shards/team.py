"""Divides the rows of a batch into shards, and the shards among the processes of a job.

A batch has SHARDS shards, whatever the number of processes is, and their gradients are summed in one order. So the bits
of a run depend on the shards, and not on the processes.
"""

import mmap
from collections.abc import Iterator, Sequence
from typing import Protocol

SHARDS = 8
"""Shards of a batch, and the most processes that can share one."""

Memory = mmap.mmap | bytearray


def rows_of(shard: int, rows: int) -> slice:
    """Return the rows of a shard of a batch with that many rows; a batch of few rows has empty shards.

    >>> [rows_of(shard, 12) for shard in (0, 1, 7)]
    [slice(0, 1, None), slice(1, 3, None), slice(10, 12, None)]
    """
    return slice(rows * shard // SHARDS, rows * (shard + 1) // SHARDS)


def present(rows: int) -> list[int]:
    """Return the shards that are not empty.

    >>> present(3)
    [2, 5, 7]
    """
    return [shard for shard in range(SHARDS) if rows * shard // SHARDS < rows * (shard + 1) // SHARDS]


def largest(rows: int) -> int:
    """Return the most rows of a shard of a batch."""
    return -(-rows // SHARDS)


def shards_of(number: int, processes: int) -> Sequence[int]:
    """Return the shards of a process, which is `number` from 0.

    >>> [*shards_of(0, 3)], [*shards_of(2, 3)]
    ([0, 3, 6], [2, 5])
    """
    return range(number, SHARDS, processes)


class Team(Protocol):
    """The processes of a job, seen from the first one."""

    shards: Sequence[int]
    """The shards of this process."""

    def memory(self, size: int) -> Memory:
        """Return zeroed memory that the processes share; it is asked for once."""

    def begin(self, epoch: int, update: int) -> None:
        """Have the others compute their shards of an update."""

    def finish(self) -> None:
        """Wait until the others have computed them. Raise WorkerDied if one of them dies again and again."""


class Helper(Protocol):
    """One of the other processes, seen from itself."""

    shards: Sequence[int]

    def memory(self, size: int) -> Memory:
        """Return the memory that the first process has made."""

    def asked(self) -> Iterator[tuple[int, int]]:
        """Yield epoch and update of the shards to compute, each time after the ones before are done."""


class Alone:
    """A job with one process."""

    shards: Sequence[int] = range(SHARDS)

    def memory(self, size: int) -> Memory:
        """Return memory of this process."""
        return bytearray(size)

    def begin(self, epoch: int, update: int) -> None:
        """Do nothing: there are no others."""

    def finish(self) -> None:
        """Do nothing."""
