"""Divides steps in which rows are reset or left out into kernel calls, which know neither.

A row is stepped as if it were alone: the steps that it takes part in are put one behind the other, so that a call has a
length for each row, and each reset of a row begins a further call. So its bits are those of the same steps without the
others, in networks that read sequences from both ends too. A call has only rows with steps left: steps of few rows of a
large session cost as much as those rows.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.ports import ROW_LEFT_OUT, ROW_RESET, Floats, Mask, RowFlags

Ints = NDArray[np.int32]


class RowSchedule:
    """The calls for the steps of a request, and the results so far. `state` is that of all rows of the session."""

    def __init__(self, inputs: Floats, flags: RowFlags, state: bytes) -> None:
        steps, rows, _ = inputs.shape
        all_flags = np.zeros((steps, rows), np.uint8)
        all_flags[: len(flags)] = flags
        left_out = all_flags == ROW_LEFT_OUT
        self._inputs = inputs
        self._times = np.argsort(left_out, axis=0, kind="stable")
        """The steps that each row takes part in, in order, and behind them the others, (T, rows)."""
        self._counts = steps - left_out.sum(axis=0)
        self._reset: Mask = np.take_along_axis(all_flags == ROW_RESET, self._times, axis=0)
        at = np.where(self._reset, np.arange(steps)[:, None], steps)
        following = np.minimum.accumulate(at[::-1], axis=0)[::-1]
        ends = np.concatenate([following[1:], np.full((1, rows), steps)])
        self._ends = np.minimum(ends, self._counts)
        """Where the call ends that begins at each of these steps, at most."""
        self._done = np.zeros(rows, np.int64)
        self._outputs: Floats | None = None
        self._states = np.frombuffer(state, np.float32).reshape(rows, len(state) // (4 * rows)).copy()
        self._rows = self._next_rows()
        """The rows of the next call."""
        self.lengths = np.zeros(0, np.int32)
        """The steps of each of them in the present call."""

    @property
    def rows(self) -> int:
        """Return the number of rows of the next call."""
        return len(self._rows)

    @property
    def left(self) -> int:
        """Return the number of steps that are left for the row with the most."""
        return int((self._counts - self._done).max())

    @property
    def state(self) -> bytes:
        """Return the state of the rows of the next call."""
        return self._states[self._rows].tobytes()

    @property
    def whole_state(self) -> bytes:
        """Return the state of all rows."""
        return self._states.tobytes()

    @property
    def outputs(self) -> Floats:
        """The outputs (T, rows, out_size) after the last call, NaN for a row that takes no part in a step."""
        assert self._outputs is not None
        return self._outputs

    def begin(self, most: int) -> tuple[Floats, Mask]:
        """Return the inputs of the next call, with at most `most` steps, and the rows that are reset before it."""
        done = self._done[self._rows]
        first = np.minimum(done, len(self._ends) - 1)
        ends = np.maximum(self._ends[first, self._rows], done)
        self.lengths = np.minimum(ends - done, most).astype(np.int32)
        inputs = self._inputs[self._times_of_call(), self._rows]
        return np.ascontiguousarray(inputs), self._reset[first, self._rows] & (self.lengths > 0)

    def end(self, outputs: Floats, state: Floats) -> None:
        """Take the outputs of the call, (its steps or more, its rows, out_size), and the state of its rows."""
        if self._outputs is None:
            self._outputs = np.full((*self._inputs.shape[:2], outputs.shape[2]), np.nan, np.float32)
        times = self._times_of_call()
        steps, rows = np.nonzero(np.arange(len(times))[:, None] < self.lengths)
        self._outputs[times[steps, rows], self._rows[rows]] = outputs[steps, rows]
        self._states[self._rows] = state
        self._done[self._rows] += self.lengths
        self._rows = self._next_rows()

    def time_of(self, step: int, row: int) -> int:
        """Return which step of the request a step of a row of the present call is."""
        return int(self._times[self._done[self._rows[row]] + step, self._rows[row]])

    def _next_rows(self) -> NDArray[np.int64]:
        """Return the rows that have steps left. A call has one row at least, also if no row takes part in any step."""
        rows = np.flatnonzero(self._done < self._counts)
        return rows if len(rows) else np.zeros(1, np.int64)

    def _times_of_call(self) -> NDArray[np.int64]:
        """Return the steps of the request that the call has, at least one, (its steps, its rows).

        Behind the end of a row they may be any.
        """
        index = self._done[self._rows] + np.arange(max(1, int(self.lengths.max())))[:, None]
        found: NDArray[np.int64] = self._times[np.minimum(index, len(self._times) - 1), self._rows]
        return found
