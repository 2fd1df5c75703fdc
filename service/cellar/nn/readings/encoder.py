"""Encodes rows of readings as the numbers that the cells of the layer read, in float64 with one rounding at the end.

A missing reading is NaN in a row, and 0 with presence 0 in what is encoded, so that no NaN enters a kernel. Every
operation is one of an element, so the same row has the same bits in a step, a sequence and a batch.
"""

import numpy as np
from numpy.typing import NDArray

from cellar.nn.numerics.portable_math import Doubles, log, sine_of_turns
from cellar.nn.readings.calendar import DAY_S, local_time, turns_of
from cellar.nn.readings.columns import MOST_SCALED, CategoryColumn, TimeColumn
from cellar.nn.readings.layout import Layout

Floats = NDArray[np.float32]
Places = NDArray[np.intp]


class Encoder:
    """Encodes rows (T, B, width) as (T, B, encoded_size). Immutable, so that threads can share it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        columns = [column for _, column in layout.numbers]
        fits = [column.fitted for column in columns]
        self._at = _places(layout.offsets[at] for at, _ in layout.numbers)
        self._log_at = _places(index for index, column in enumerate(columns) if column.log is not None)
        self._log_offset = np.array([column.log for column in columns if column.log is not None], np.float64)
        self._shift = np.array([0.0 if fit is None else fit.shift for fit in fits])
        self._scale = np.array([1.0 if fit is None else fit.scale for fit in fits])
        kept = _places(index for index, column in enumerate(columns) if column.session_scale)
        self._shift[kept] = 0.0
        self._scale[kept] = [fits[index].unit for index in kept.tolist()]
        self._fill = np.array([0.0 if fit is None else fit.fill for fit in fits])
        self._series: tuple[int, Doubles, Doubles] | None = None
        if layout.series is not None and any(column.per_series and not column.session_scale for column in columns):
            self._series = self._of_series(*layout.series)
        number = {at: index for index, (at, _) in enumerate(layout.numbers)}
        self._carried = _places(number[each.column] for each in layout.carried if each.column in number)
        self._mean = _places(number[at] for at, column in layout.numbers if column.missing == "mean")
        self._mask = _places(number[at] for at, column in layout.numbers if column.mask)
        self._scales: Doubles | None = _scales_of(layout) if layout.scale_numbers else None

    def _of_series(self, at: int, column: object) -> tuple[int, Doubles, Doubles]:
        """Return the place of the series, and shifts and scales (series + 1, columns); the last are those of all."""
        ids = getattr(column, "ids", None) or ()
        shift, scale = (np.tile(each, (len(ids) + 1, 1)) for each in (self._shift, self._scale))
        for index, (_, number) in enumerate(self.layout.numbers):
            if number.session_scale:
                continue
            if number.per_series and number.fitted is not None and number.fitted.series_shift is not None:
                shift[:-1, index] = number.fitted.series_shift
                scale[:-1, index] = number.fitted.series_scale
        return self.layout.offsets[at], shift, scale

    def __call__(self, rows: Floats) -> Floats:
        """Encode rows (T, B, width), which were checked."""
        layout, x = self.layout, rows.astype(np.float64)
        out: Floats = np.zeros((*rows.shape[:-1], layout.encoded_size), np.float32)
        at = self._put_numbers(x, out)
        for place, category in layout.categories:
            if category.missing == "zeros":
                encoded = _category(x[..., layout.offsets[place]], category)
                out[..., at : at + category.size] = encoded
                at += category.size
        if layout.time is not None:
            place = layout.offsets[layout.time[0]]
            self._put_calendar(x[..., place], x[..., place + 1], layout.time[1], out, at)
            if layout.has_clock:
                out[..., -2:] = rows[..., place : place + 2]
        if self._scales is not None and layout.series is not None:
            code = x[..., layout.offsets[layout.series[0]]]
            first = 2 * len(layout.carried) + len(layout.plain)
            out[..., first : first + layout.scale_numbers] = self._scales[_row_of(code, len(self._scales))]
        return out

    def _put_numbers(self, x: Doubles, out: Floats) -> int:
        """Put carried numbers with their presence, filled numbers and masks; return the place behind them."""
        layout, values = self.layout, x[..., self._at]
        present = values == values  # false for NaN alone, in half the time of isnan
        scaled = self._scaled(x, np.where(present, values, 0.0), present)
        count, numbers = len(layout.carried), len(self._carried)
        out[..., :numbers] = scaled[..., self._carried]
        out[..., count : count + numbers] = present[..., self._carried]
        at = numbers
        for place, category in layout.categories:
            if category.missing == "carry":
                code = x[..., layout.offsets[place]]
                out[..., at : at + category.size] = _category(code, category)
                out[..., count + at : count + at + category.size] = (code == code)[..., None]
                at += category.size
        at = 2 * count
        if len(self._mean):
            filled = np.where(present, scaled, self._fill)
            out[..., at : at + len(self._mean)] = filled[..., self._mean]
            at += len(self._mean)
        if len(self._mask):
            out[..., at : at + len(self._mask)] = present[..., self._mask]
            at += len(self._mask)
        return at

    def _scaled(self, x: Doubles, values: Doubles, present: NDArray[np.bool_]) -> Doubles:
        """Return scaled readings, 0 where they are missing."""
        if len(self._log_at):
            shifted = values[..., self._log_at] + self._log_offset
            values[..., self._log_at] = log(np.where(shifted > 0, shifted, 1.0))
        shift, scale = self._shift, self._scale
        if self._series is not None:
            place, shifts, scales = self._series
            code = x[..., place]
            known = np.where((code >= 0) & (code < len(shifts) - 1), code, len(shifts) - 1).astype(np.intp)
            shift, scale = shifts[known], scales[known]
        found = np.minimum(np.maximum((values - shift) / scale, -MOST_SCALED), MOST_SCALED)
        return np.where(present, found, 0.0)

    def _put_calendar(self, days: Doubles, seconds: Doubles, column: TimeColumn, out: Floats, at: int) -> None:
        if not column.calendar:
            return
        local_s = local_time(days * DAY_S + seconds, column.zone)
        turns = np.stack([turns_of(feature, local_s) for feature in column.calendar], axis=-1)
        waves = sine_of_turns(np.stack([turns, turns + 0.25], axis=-1))  # the cosine is a quarter turn ahead
        out[..., at : at + 2 * len(column.calendar)] = waves.reshape(*local_s.shape, 2 * len(column.calendar))


def _scales_of(layout: Layout) -> Doubles:
    """Return the numbers of a series' scale, a row for each known id, one for an unknown id, and one for none."""
    assert layout.series is not None
    ids, count = len(layout.series[1].ids or ()), len(layout.scaled)
    found = np.zeros((ids + 2, layout.scale_numbers))
    for index, (_, column) in enumerate(layout.scaled):
        fitted = column.fitted
        if column.per_series and fitted is not None and fitted.series_shift is not None:
            found[:ids, index] = np.array(fitted.series_shift) / fitted.unit
            found[:ids, count + index] = np.maximum(np.array(fitted.series_scale) / fitted.unit, LEAST_SCALE)
    found[: ids + 1, -2] = 1
    found[:ids, -1] = 1
    return np.asarray(np.clip(found, -MOST_SCALED, MOST_SCALED))


LEAST_SCALE = 1e-9
"""The smallest scale that a session keeps, in units of its column: that of the cell, the root of 1e-18."""


def _row_of(code: Doubles, rows: int) -> NDArray[np.intp]:
    """Return the row of `_scales_of` for codes of series."""
    given = np.where((code >= 0) & (code < rows - 2), code, rows - 2)
    return np.where(np.isnan(code), rows - 1, given).astype(np.intp)


def _category(code: Doubles, column: CategoryColumn) -> Doubles:
    """Return the encoded category (..., size) of codes; NaN and unknown ones are zeros."""
    count = len(column.categories or ())
    if column.encoding == "one_hot":
        return np.asarray(code[..., None] == np.arange(count), np.float64)
    return np.asarray(np.where((code >= 0) & (code < count), (code + 1) / max(count, 1), 0.0)[..., None])


def _places(numbers: object) -> Places:
    return np.array([*numbers], np.intp)  # type: ignore[misc]  # an iterable of integers
