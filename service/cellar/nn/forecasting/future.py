"""The inputs of the steps ahead: those that are known, and times at the usual interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput, TypeMismatch
from cellar.nn.model.network import Network
from cellar.nn.readings.calendar import DAY_S, split_time

MOST_S = 253402300799.0
"""The end of the year 9999."""

Doubles = NDArray[np.float64]


def read_future(network: Network, rows: Sequence[Any], pointer: str = "/future") -> Floats:
    """Return rows of a request as inputs (steps, in_size), NaN where they are not known.

    A row is an array of all inputs, null for an unknown one; of a model with readings it may be an object with columns
    by name. Raise InvalidInput with the place of a fault.
    """
    if network.readings is None:
        return rectangle(rows, pointer)
    time = network.readings.layout.time
    filled, untimed = [], []
    for row in rows:
        is_untimed = time is not None and isinstance(row, Mapping) and row.get(time[1].name) is None
        untimed.append(is_untimed)
        filled.append([{**row, time[1].name: 0} if is_untimed and time is not None else row])
    found = network.readings.reader.read(filled, lambda step, _: f"{pointer}/{step}")[:, 0]
    if time is not None:
        place = network.readings.layout.offsets[time[0]]
        found[untimed, place : place + 2] = np.nan
    return found


def rectangle(rows: Sequence[Any], pointer: str) -> Floats:
    """Return rows of numbers as an array, NaN for null. Raise InvalidInput for other rows, or of several lengths."""
    for index, row in enumerate(rows):
        if not isinstance(row, Sequence) or len(row) != len(rows[0]):
            raise InvalidInput(
                "the rows are no arrays of the same length",
                pointer=f"{pointer}/{index}",
                expected=f"{len(rows[0])} numbers" if isinstance(rows[0], Sequence) else "an array of numbers",
                actual=f"{len(row)} members",
            )
        for place, number in enumerate(row):
            if isinstance(number, str):
                raise TypeMismatch(
                    "not a number",
                    pointer=f"{pointer}/{index}/{place}",
                    expected="a number or null",
                    actual=number[:64],
                )
    return np.array([[np.nan if number is None else number for number in row] for row in rows], np.float32)


def last_times(network: Network, state: Floats) -> Doubles | None:
    """Return the time of the last step of each row, seconds since 1970-01-01 in UTC; None if the model has none."""
    if network.readings is None or network.readings.layout.time is None:
        return None
    places = {place.name: place.offset for place in network.states if place.layer == 0}
    if "clock_day" not in places:
        return None
    days, seconds = (state[:, places[f"clock_{name}"]].astype(np.float64) for name in ("day", "second"))
    return days * DAY_S + seconds


def times_ahead(network: Network, state: Floats, horizon: int) -> Doubles | None:
    """Return the times (rows, horizon) of the steps ahead at the usual interval; None if they are not known."""
    last = last_times(network, state)
    if last is None or network.readings is None or network.readings.layout.time is None:
        return None
    interval_s = network.readings.layout.time[1].interval_s
    if interval_s is None or last.max(initial=0) + interval_s * horizon > MOST_S:
        return None
    return last[:, None] + interval_s * np.arange(1, horizon + 1)


def inputs_ahead(network: Network, state: Floats, future: Floats | None, horizon: int) -> Floats:
    """Return the inputs (rows, horizon - 1, in_size) of the steps ahead, with times, NaN where they are not known.

    `future` (steps, in_size) are those of the request. Raise InvalidInput if it has another shape.
    """
    steps = horizon - 1
    found = np.full((len(state), steps, network.in_size), np.nan, np.float32)
    if future is not None:
        if future.shape[1] != network.in_size or len(future) not in (steps, horizon):
            raise InvalidInput(
                "the future has another shape",
                pointer="/future",
                expected=f"{steps} steps (the last one is not needed) of {network.in_size} inputs",
                actual=" x ".join(str(size) for size in future.shape),
            )
        found[:] = future[:steps]
    times = times_ahead(network, state, horizon)
    if times is not None and network.readings is not None and network.readings.layout.time is not None:
        place = network.readings.layout.offsets[network.readings.layout.time[0]]
        for part, values in zip((place, place + 1), split_time(times[:, :steps]), strict=True):
            found[:, :, part] = np.where(np.isnan(found[:, :, part]), values, found[:, :, part])
    return found
