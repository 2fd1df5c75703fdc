"""How long kernel calls of a network take, learnt from its calls.

A time step of a call takes a + b * rows: a is mostly the reading of the weights, which all rows share, b the arithmetic
of a row. Both are fitted by least squares to the calls that were measured, the newest counting most.
"""

FIXED_FLOPS_A_S = 5e9
"""Of one row alone, before anything was measured: a core waits for the weights. And"""

ROW_FLOPS_A_S = 50e9
"""of each further row."""

DECAY = 0.9
"""What a measurement counts once the next one is there: after seven calls it counts half."""

CALL_S = 0.1
"""How long a kernel call may take, as far as it can be told beforehand: other networks wait for it, and with a request
all others of its call are answered. A call of 0.1 s of a network whose single step takes 10 ms has most of what there
is to gain from sharing a call."""

MOST_FIXED = 4
"""A call may take so many times what it takes whatever its rows, also where that is longer: with fewer rows most of the
time would go into what they share."""

MAX_ROWS = 1024
"""Rows of one call: enough to fill every register tile, few enough for a call of milliseconds."""

MOST_AT_ONCE = 8
"""A call counts as no more than so many times what was expected: it may be that the machine stood still."""

MANY_STEPS = 1_000_000
"""More than are run together in any case."""

SPREAD = 0.2
"""Rows must vary by so much of their mean before the two parts of the cost are told apart."""


class CallCost:
    """The estimate for one network. Times are in seconds."""

    def __init__(self, flops: int) -> None:
        self.fixed_s = flops / FIXED_FLOPS_A_S
        """Of a time step, whatever its rows; and"""
        self.row_s = flops / ROW_FLOPS_A_S
        """of each of its rows."""
        self.full_rows = self.rows_a_call(MAX_ROWS)
        """Rows of a full call of single steps, and"""
        self.full_row_s = self.row_s + self.fixed_s / self.full_rows
        """of a row's share of its time."""
        self.is_measured = False
        """Whether there was a call yet; before, the estimate is a guess from the number of operations."""
        self._weight = self._rows = self._time = self._rows_squared = self._rows_time = 0.0
        """Sums over the calls: of ones, rows, seconds, and their products."""
        self._sequence_rows = 1.0

    def learn(self, rows: int, steps: int, took_s: float) -> None:
        """Note that a call of so many time steps of so many rows took so long."""
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
        """Return how long a time step of so many rows takes in one call."""
        return self.fixed_s + self.row_s * rows

    def request_s(self, rows: int, steps: int) -> float:
        """Return a request's share of the time of calls, those of single steps being full."""
        return rows * (self.full_row_s if steps == 1 else steps * self.sequence_row_s)

    @property
    def sequence_row_s(self) -> float:
        """How long a time step of a row takes in sequences, which share calls with as many others as of late."""
        return self.row_s + self.fixed_s / self._sequence_rows

    def steps_a_call(self, rows: int) -> int:
        """Return how many time steps of so many rows may be one call, at least one; many if none was measured.

        A guess cuts no sequence: it may be that each step is quick.
        """
        step_s = self.step_s(rows)
        return max(1, int(CALL_S / step_s)) if self.is_measured and step_s > 0 else MANY_STEPS

    def rows_a_call(self, most: int) -> int:
        """Return how many rows a time step may have, at least one, and `most` at most."""
        left_s = max(CALL_S, MOST_FIXED * self.fixed_s) - self.fixed_s
        return most if self.row_s * most <= left_s else max(1, int(left_s / self.row_s) if self.row_s else 1)

    def _fit(self) -> None:
        """Fit both parts where rows have varied; else keep their ratio, and let them add up to what was measured."""
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
