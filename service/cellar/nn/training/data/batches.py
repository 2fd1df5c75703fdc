"""Divides data into windows (for truncated backpropagation), batches in the order of an epoch, and segments.

::

    state: reset                                    state: carry

    row  [ warmup | skip | scored ]                 row  [ warmup | skip | scored | scored | scored ]
         .........[ warmup | skip | scored ]                      [ window       ][window ][window ]
         ........ ........[ warmup | skip | scored ]

Scored steps of consecutive windows have no gap and no overlap; the last window of a row may be shorter.

If a fraction of the steps is held out for validation, it is the last steps::

    one sequence a row (carry, or no window)        independent windows (reset with a window)

    row  [ trained          ][ held out ]           row  [ trained      ][ trained       ]
         [ warms the state  ][ scored   ]                      [ warmup | skip | held out ]
"""

import functools
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats, Ints
from cellar.nn.numerics.random_streams import permutation
from cellar.nn.training.objective import Objective
from cellar.nn.training.spec import TrainingSpec


def cut(total: int, steps: int | None) -> tuple[slice, ...]:
    """Return the segments of `total` steps, each of `steps` steps except the last; one segment if `steps` is None."""
    length = max(1, total) if steps is None else steps
    return tuple(slice(begin, min(begin + length, total)) for begin in range(0, max(1, total), length))


def lengths_in(segment: slice, lengths: Ints | None) -> Ints | None:
    """Return the steps of each row in a segment, None if all rows have all steps."""
    return None if lengths is None else np.clip(lengths - segment.start, 0, segment.stop - segment.start)


def counts(targets: Floats, lengths: Ints | None, weights: Floats | None, objective: Objective) -> list[float]:
    """Return for each part of an objective the number of its losses, or the sum of their weights.

    Weights are added in their order in float64, which every machine computes in the same way.
    """
    if weights is not None:
        columns = (weights[:, :, part.weights] for part in objective.parts)
        return [float(np.cumsum(each, dtype=np.float64)[-1]) if each.size else 0.0 for each in columns]
    steps, rows, _ = _sizes(targets)
    count = steps * rows if lengths is None else sum(lengths.tolist())
    return [count * part.each for part in objective.parts]


class Batch(NamedTuple):
    """The data of one update. All arrays are (T, B, F)."""

    warmup: Floats | None
    """Inputs of the warm-up; None if the state is carried from the batch before."""
    inputs: Floats
    targets: Floats
    """The targets of the outputs from `skip` on."""
    skip: int
    lengths: Ints | None
    """Steps of each row in `inputs`, None if all are of full length."""
    weights: Floats | None = None
    """(T, B, ...): how much each loss counts, in the columns of the objective; None if all count 1."""

    @property
    def scored_lengths(self) -> Ints | None:
        """Return the steps of each row in `targets`."""
        return None if self.lengths is None else np.maximum(self.lengths - np.int32(self.skip), np.int32(0))

    def counts(self, objective: Objective) -> list[float]:
        """Return for each part of the objective the number of its losses, or the sum of their weights."""
        return counts(self.targets, self.scored_lengths, self.weights, objective)

    def part(self, segment: slice) -> "Batch":
        """Return views of some steps of the window, which continue the steps before."""
        steps = segment.stop - segment.start
        scored = slice(max(0, segment.start - self.skip), max(0, segment.stop - self.skip))
        skip = min(max(0, self.skip - segment.start), steps)
        weights = None if self.weights is None else self.weights[scored]
        lengths = lengths_in(segment, self.lengths)
        return Batch(None, self.inputs[segment], self.targets[scored], skip, lengths, weights)


ALL = slice(None)


class Room:
    """Memory for batches: batches of the same shape use the same memory."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], Floats] = {}

    def array(self, use: str, shape: tuple[int, ...]) -> Floats:
        """Return an array for one use."""
        key = (use, shape)
        found = self._arrays.get(key)
        if found is None:
            found = np.empty(shape, np.float32)
            if len(self._arrays) < _SHAPES_KEPT:
                self._arrays[key] = found
        return found


_SHAPES_KEPT = 16


@dataclass(frozen=True)
class Plan:
    """Aligned data of a run: `targets` begin with the target of output `warmup + skip`."""

    inputs: Floats
    targets: Floats
    spec: TrainingSpec
    lengths: Ints | None = None
    """(B,): the targets of each row; None if each row has all."""
    weights: Floats | None = None
    """(T, B, ...): how much each loss counts, in the columns of the objective; None if all count 1.

    It is 0 after the length of a row."""
    room: Room = field(default_factory=Room)

    @functools.cached_property
    def window(self) -> int:
        """Return the steps of a window: `skip` and what is scored."""
        return min(self.spec.window or self.longest, self.longest)

    @property
    def longest(self) -> int:
        """Return the most steps of a window."""
        return _sizes(self.inputs)[0] - self.spec.warmup

    @functools.cached_property
    def windows(self) -> int:
        """Return the number of windows of a row."""
        if self.spec.state == "carry":
            return -(-(_sizes(self.inputs)[0] - self.spec.warmup) // self.window)
        return -(-_sizes(self.targets)[0] // (self.window - self.spec.skip))

    @functools.cached_property
    def updates(self) -> int:
        """Return the number of batches of an epoch."""
        rows = _sizes(self.inputs)[1]
        if self.spec.state == "carry":
            return -(-rows // self.spec.batch_size) * self.windows
        return -(-len(self._present) // self.spec.batch_size)

    @functools.cached_property
    def _present(self) -> NDArray[np.int64]:
        """Return the numbers of the windows that have a target: that of window k of row b is b * windows + k."""
        rows = _sizes(self.inputs)[1]
        if self.lengths is None:
            return np.arange(rows * self.windows)
        begins = np.arange(self.windows) * (self.window - self.spec.skip)
        return np.flatnonzero(begins < self.lengths[:, None])

    def of_rows(self, rows: slice) -> "Plan":
        """Return the plan of some rows."""
        lengths = None if self.lengths is None else self.lengths[rows]
        weights = None if self.weights is None else np.ascontiguousarray(self.weights[:, rows])
        inputs, targets = (np.ascontiguousarray(array[:, rows]) for array in (self.inputs, self.targets))
        return Plan(inputs, targets, self.spec, lengths, weights)

    def batch(self, order: NDArray[np.int64], index: int, part: slice = ALL) -> Batch:
        """Return a batch of an epoch in the given order, or some of its rows.

        Its arrays are valid until the next call.
        """
        chosen = self.chosen(order, index)[part]
        if self.spec.state == "carry" or self.windows == 1:
            return self._of_rows(chosen, index % self.windows if self.spec.state == "carry" else 0)
        return self._of_windows(chosen)

    def chosen(self, order: NDArray[np.int64], index: int) -> NDArray[np.int64]:
        """Return the windows (reset) or rows (carry) of a batch."""
        group = index // self.windows if self.spec.state == "carry" else index
        return order[group * self.spec.batch_size :][: self.spec.batch_size]

    def order(self, epoch: int | None) -> NDArray[np.int64]:
        """Return the order of windows (reset) or rows (carry) in an epoch; without an epoch, their original order."""
        present = np.arange(self.inputs.shape[1]) if self.spec.state == "carry" else self._present
        return present if epoch is None else present[permutation(self.spec.seed, f"epoch {epoch}", len(present))]

    def _of_rows(self, rows: NDArray[np.int64], window: int) -> Batch:
        """Return a window of some rows, which continues the window before it."""
        warmup, skip = self.spec.warmup, self.spec.skip
        begin = warmup + window * self.window
        first = begin - warmup - skip
        scored = slice(max(0, first), first + self.window)
        return Batch(
            self._chosen("warmup", self.inputs, rows, slice(0, warmup)) if window == 0 else None,
            self._chosen("inputs", self.inputs, rows, slice(begin, begin + self.window)),
            self._chosen("targets", self.targets, rows, scored),
            skip if window == 0 else 0,
            None if self.lengths is None else self._steps_in(rows, first),
            None if self.weights is None else self._chosen("weights", self.weights, rows, scored),
        )

    def _steps_in(self, rows: NDArray[np.int64], first: int) -> Ints | None:
        """Return the steps of rows in the window whose first step has the target `first`; None if all have all."""
        assert self.lengths is not None
        steps = min(self.window, len(self.targets) - first)
        found = np.clip(self.lengths[rows] - first, 0, steps).astype(np.int32)
        return None if int(found.min()) == steps else found

    def _gathered(
        self,
        use: str,
        array: Floats,
        rows: NDArray[np.int64],
        begins: NDArray[np.int64],
        steps: int,
        lengths: Ints,
    ) -> Floats:
        """Return (steps, B, F): for each chosen row the steps from its begin on, with zeros after its length."""
        steps_ahead = np.arange(steps)[:, None]
        at = np.minimum(begins + steps_ahead, array.shape[0] - 1) * array.shape[1] + rows
        out = self.room.array(use, (steps, len(rows), array.shape[2]))
        array.reshape(-1, array.shape[2]).take(at, axis=0, out=out, mode="clip")
        if int(lengths.min()) < steps:
            out[steps_ahead >= lengths] = 0
        return out

    def _chosen(self, use: str, array: Floats, rows: NDArray[np.int64], steps: slice) -> Floats:
        """Return (steps, B, F) of the chosen rows."""
        part = array[steps]
        out = self.room.array(use, (len(part), len(rows), array.shape[2]))
        return part.take(rows, axis=1, out=out, mode="clip") if out.size else out

    def _of_windows(self, chosen: NDArray[np.int64]) -> Batch:
        """Return windows of any rows, each with a warm-up of its own."""
        rows, windows = np.divmod(chosen, self.windows)
        warmup, skip = self.spec.warmup, self.spec.skip
        scored = self.window - skip
        begins = windows * scored
        targets = self.targets.shape[0] if self.lengths is None else self.lengths[rows]
        lengths = np.minimum(targets - begins, scored).astype(np.int32)
        longest = int(lengths.max())
        return Batch(
            self._gathered("warmup", self.inputs, rows, begins, warmup, lengths + warmup),
            self._gathered("inputs", self.inputs, rows, begins + warmup, skip + longest, lengths + skip),
            self._gathered("targets", self.targets, rows, begins, longest, lengths),
            skip,
            None if int(lengths.min()) == longest else lengths + np.int32(skip),
            None if self.weights is None else self._gathered("weights", self.weights, rows, begins, longest, lengths),
        )


def _sizes(array: Floats) -> tuple[int, int, int]:
    """Return the shape of (T, B, F)."""
    steps, rows, features = array.shape
    return steps, rows, features
