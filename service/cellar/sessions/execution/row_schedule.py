"""Divides steps in which rows are reset or left out into kernel calls, which know neither.

A row is stepped as if it were alone: the steps that it takes part in are put one behind the other, so that a call has a
length for each row, and each reset of a row begins a further call. So its bits are those of the same steps without the
others, in networks that read sequences from both ends too.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.ports import ROW_LEFT_OUT, ROW_RESET, Floats, Mask, RowFlags

Ints = NDArray[np.int32]


class RowSchedule:
    """The calls for the steps of a request, and what they have given so far."""

    def __init__(self, inputs: Floats, flags: RowFlags) -> None:
        steps, rows, _ = inputs.shape
        all_flags = np.zeros((steps, rows), np.uint8)
        all_flags[: len(flags)] = flags
        left_out = all_flags == ROW_LEFT_OUT
        self._inputs = inputs
        self._rows = np.arange(rows)
        self._times = np.argsort(left_out, axis=0, kind="stable").astype(np.int32)
        """The steps that each row takes part in, in order, and behind them the others, (T, rows)."""
        self._counts = steps - left_out.sum(axis=0)
        reset = np.take_along_axis(all_flags == ROW_RESET, self._times, axis=0)
        self._reset: Mask = reset
        at = np.where(reset, np.arange(steps)[:, None], steps)
        following = np.minimum.accumulate(at[::-1], axis=0)[::-1]
        ends = np.concatenate([following[1:], np.full((1, rows), steps)])
        self._ends = np.minimum(ends, self._counts).astype(np.int32)
        """Where the call ends that begins at each of these steps, at most."""
        self._done = np.zeros(rows, np.int32)
        self.lengths = np.zeros(rows, np.int32)
        """The steps of each row in the present call."""
        self._outputs: Floats | None = None

    @property
    def left(self) -> int:
        """Return the number of steps that are left for the row with the most."""
        return int((self._counts - self._done).max())

    @property
    def outputs(self) -> Floats:
        """The outputs (T, rows, out_size) after the last call, NaN for a row that takes no part in a step."""
        assert self._outputs is not None
        return self._outputs

    def begin(self, most: int) -> tuple[Floats, Mask]:
        """Return the inputs of the next call, with at most `most` steps, and the rows that are reset before it."""
        first = np.minimum(self._done, len(self._ends) - 1)
        ends = np.where(self._done < self._counts, self._ends[first, self._rows], self._done)
        self.lengths = np.minimum(ends - self._done, most).astype(np.int32)
        times = self._times_of_call()
        reset = self._reset[first, self._rows] & (self.lengths > 0)
        return np.ascontiguousarray(self._inputs[times, self._rows]), reset

    def end(self, outputs: Floats) -> None:
        """Take the outputs of the call, (its steps or more, rows, out_size)."""
        if self._outputs is None:
            self._outputs = np.full((*self._inputs.shape[:2], outputs.shape[2]), np.nan, np.float32)
        times = self._times_of_call()
        steps, rows = np.nonzero(np.arange(len(times))[:, None] < self.lengths)
        self._outputs[times[steps, rows], rows] = outputs[steps, rows]
        self._done = self._done + self.lengths

    def time_of(self, step: int, row: int) -> int:
        """Return which step of the request a step of a row in the present call is."""
        return int(self._times[self._done[row] + step, row])

    def _times_of_call(self) -> Ints:
        """Return the steps of the request that the call has, (its steps, rows); any behind the end of a row.

        A call has one step at least, also if no row takes part in any.
        """
        index = self._done + np.arange(max(1, int(self.lengths.max())))[:, None]
        found: Ints = self._times[np.minimum(index, len(self._times) - 1), self._rows]
        return found
