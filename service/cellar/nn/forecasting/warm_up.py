"""The state of a network after the last rows of a series, which a new session begins with.

If columns are known ahead, it ends at the last reading of a target: rows behind it only say what is known.
"""

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches

import numpy as np

from cellar.engine import Floats
from cellar.errors import InvalidInput, NotFinite
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.accuracy.series import input_reader
from cellar.nn.readings.table import Table

STEPS = 512
"""Rows that are run in one call."""

USUAL_ROWS = 10_000
"""Rows that are run if the request does not say how many: what came before hardly has an effect on the state."""

SHOWN = 8
"""Series that an error names."""

COMPARED = 1000
"""Series among which an error looks for a similar one: there may be millions."""


class WarmUp:
    """Runs the last rows of a series from the initial state: call `advance` until it returns False, then `state`."""

    def __init__(
        self, bound: BoundNetwork, table: Table, series: str | None, rows: int | None, inputs: Sequence[str] | None
    ) -> None:
        """`inputs` are the columns of a network without a layer of readings. Raise InvalidInput if one is missing."""
        self._bound = bound
        self._series = _place(table, series)
        self._read, _ = input_reader(bound.network, table, inputs, pointer="/warm_up/inputs")
        self._begin, self._end = (int(table.bounds[self._series + at]) for at in (0, 1))
        readings = bound.network.readings
        if readings is not None and readings.layout.ahead:
            targets = [column.name for _, column in readings.layout.numbers if column.role == "target"]
            self._end = _last_reading(table, targets, self._begin, self._end)
        self._at = max(0, self._end - self._begin - (USUAL_ROWS if rows is None else rows))
        self.rows = self._end - self._begin - self._at
        self._state = bound.initial_state(1)

    def advance(self) -> bool:
        """Run some rows. Return whether there are more. Raise NotFinite or IdUnknown."""
        stop = min(self._at + STEPS, self._end - self._begin)
        inputs = np.ascontiguousarray(self._read(self._begin, slice(self._at, stop)), np.float32)[:, None]
        self._bound.network.check_inputs(inputs, "/warm_up/dataset")
        run = self._bound.run(inputs, self._state)
        if run.bad_step is not None:
            raise NotFinite(f"the model is not finite at row {self._at + int(run.bad_step[0])} of the series")
        self._state, self._at = run.state, stop
        return stop < self._end - self._begin

    def state(self) -> Floats:
        """Return the state (1, state_size) after the rows that were run."""
        return self._state


def _last_reading(table: Table, names: Sequence[str], begin: int, end: int) -> int:
    """Return the place behind the last row with a reading of one of these columns; `end` if no row has one.

    The rows behind it have only what is known ahead.
    """
    for stop in range(end, begin, -STEPS):
        first = max(begin, stop - STEPS)
        rows = np.flatnonzero(np.any([~np.isnan(table.values[name][first:stop]) for name in names], axis=0))
        if len(rows):
            return first + int(rows[-1]) + 1
    return end


def _place(table: Table, series: str | None) -> int:
    """Return the number of a series. Raise InvalidInput if there is none of that id, or several and none was named."""
    ids = table.series_ids
    if series is None and len(ids) == 1:
        return 0
    if series is not None:
        with suppress(ValueError):
            return ids.index(series)
    near = get_close_matches(series or "", ids[:COMPARED], SHOWN) or ids[:SHOWN]
    if len(ids) == 1:
        expected = "nothing: the dataset has one series" + (f", {ids[0]}" if ids[0] else "")
    else:
        expected = f"one of its {len(ids)} series, such as {', '.join(near)}"
    raise InvalidInput(
        "the dataset has no such series" if series is not None else "the dataset has several series, and none is named",
        pointer="/warm_up/series",
        expected=expected,
        actual="nothing" if series is None else series[:64],
    )
