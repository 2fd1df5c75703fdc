"""Estimates the time of kernel calls of a network from its earlier calls.

A time step of a call takes a + b * rows: a is mostly the reading of the weights, which all rows share, b the arithmetic
of a row. Both are fitted by least squares to the calls that were measured, the newest counting most.
"""

FIXED_FLOPS_A_S = 5e9
"""Operations per second of the first row of a call, as assumed before the first measurement: the core waits for the
weights."""

ROW_FLOPS_A_S = 50e9
"""Operations per second of each further row, as assumed before the first measurement."""

DECAY = 0.9
"""The factor by which each measurement reduces the weight of the earlier ones: to a half after seven calls."""

CALL_S = 0.1
"""The longest estimated time of a kernel call: other networks wait for it, and all requests of a call are answered at
its end. For a network whose single step takes 10 ms, longer calls are hardly more efficient."""

MOST_FIXED = 4
"""A call may always take this many times its fixed time, even if that is longer: with fewer rows most of the time would
be spent on the weights, which all rows share."""

MAX_ROWS = 1024
"""The most rows of one call: enough to fill every register tile, few enough for a call of milliseconds."""

MOST_AT_ONCE = 8
"""The most that a measurement counts, in multiples of the expected time: other processes may have delayed it."""

MANY_STEPS = 1_000_000
"""A number of steps that no call has."""

SPREAD = 0.2
"""Rows must vary by this share of their mean before the two parts of the cost are estimated separately."""


class CallCost:
    """The estimate for one network. Times are in seconds."""

    def __init__(self, flops: int) -> None:
        self.fixed_s = flops / FIXED_FLOPS_A_S
        """Seconds of a time step that do not depend on the number of rows."""
        self.row_s = flops / ROW_FLOPS_A_S
        """Seconds of each row of a time step."""
        self.full_rows = self.rows_a_call(MAX_ROWS)
        """The most rows of a call of single steps."""
        self.full_row_s = self.row_s + self.fixed_s / self.full_rows
        """Seconds of such a call, divided by its rows."""
        self.is_measured = False
        """Whether a call was measured; before, the estimate follows from the number of operations."""
        self._weight = self._rows = self._time = self._rows_squared = self._rows_time = 0.0
        """Sums over the calls: of ones, rows, seconds, and their products."""
        self._sequence_rows = 1.0

    def learn(self, rows: int, steps: int, took_s: float) -> None:
        """Improve the estimate by the measured time of a call of `steps` time steps of `rows` rows."""
        time_s = took_s / steps
        if self.is_measured:
            time_s = min(time_s, MOST_AT_ONCE * self.step_s(rows))
        self.is_measured = True
        self._weight = DECAY * self._weight + 1
        self._rows = DECAY * self._rows + rows
        self._time = DECAY * self._time + time_s
        self._rows_squared = DECAY * self._rows_squared + rows * rows
        self._rows_time = DECAY * self._rows_time + rows * time_s
        if steps > 1:
            self._sequence_rows += (1 - DECAY) * (rows - self._sequence_rows)
        self._fit()
        self.full_rows = self.rows_a_call(MAX_ROWS)
        self.full_row_s = self.row_s + self.fixed_s / self.full_rows

    def step_s(self, rows: float) -> float:
        """Return the time of a time step of `rows` rows, seconds."""
        return self.fixed_s + self.row_s * rows

    def request_s(self, rows: int, steps: int) -> float:
        """Return a request's share of the time of its calls, seconds; calls of single steps are assumed to be full."""
        return rows * (self.full_row_s if steps == 1 else steps * self.sequence_row_s)

    @property
    def sequence_row_s(self) -> float:
        """The time of a time step of a row in sequences, which share calls as the recent ones did, seconds."""
        return self.row_s + self.fixed_s / self._sequence_rows

    def steps_a_call(self, rows: int) -> int:
        """Return the most time steps of `rows` rows in one call, without a limit before the first measurement."""
        step_s = self.step_s(rows)
        return max(1, int(CALL_S / step_s)) if self.is_measured and step_s > 0 else MANY_STEPS

    def rows_a_call(self, most: int) -> int:
        """Return the most rows of a time step, from 1 to `most`."""
        left_s = max(CALL_S, MOST_FIXED * self.fixed_s) - self.fixed_s
        return most if self.row_s * most <= left_s else max(1, int(left_s / self.row_s) if self.row_s else 1)

    def _fit(self) -> None:
        """Fit both parts if the number of rows has varied; otherwise scale them by one factor to the measured time."""
        rows, time_s = self._rows / self._weight, self._time / self._weight
        variance = self._rows_squared / self._weight - rows * rows
        if variance > (SPREAD * rows) ** 2:
            slope = (self._rows_time / self._weight - rows * time_s) / variance
            self.row_s = min(max(0.0, slope), time_s / rows)
            self.fixed_s = time_s - self.row_s * rows
            return
        guess_s = self.step_s(rows)
        scale = time_s / guess_s if guess_s > 0 else 1.0
        self.fixed_s, self.row_s = scale * self.fixed_s, scale * self.row_s
