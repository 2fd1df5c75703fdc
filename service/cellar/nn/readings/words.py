"""Describes the columns of readings in words, with the numbers that were fitted."""

from cellar.nn.readings.columns import CategoryColumn, Column, NumberColumn, TimeColumn

SHOWN = 8
"""The most categories or series that are named."""

_SCALES = {
    "standard": "by mean {shift:.6g} and deviation {scale:.6g}",
    "min_max": "from {shift:.6g} with range {scale:.6g} to 0 and 1",
    "robust": "by median {shift:.6g} and quartile range {scale:.6g}",
    "causal": "by mean and deviation of the session's readings so far",
    "none": "not scaled",
}


def in_words(column: Column) -> str:
    """Return a column as one line of text."""
    if isinstance(column, NumberColumn):
        return f"{column.name}: {_number(column)}"
    if isinstance(column, TimeColumn):
        parts = [*column.calendar, *(["time since the last step"] if column.elapsed else [])]
        interval = "" if column.interval_s is None else f", usual interval {column.interval_s:g} s"
        return f"{column.name}: time in {column.zone}{interval}; read are {', '.join(parts) or 'none of its parts'}"
    names = (column.categories if isinstance(column, CategoryColumn) else column.ids) or ()
    listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    if not isinstance(column, CategoryColumn):
        return f"{column.name}: series with numbers of their own are {listed or 'none'}"
    kept = "; a missing one is the last one of the session" if column.missing == "carry" else ""
    unknown = "refused" if column.unknown == "refuse" else "zeros"
    return f"{column.name}: {column.encoding} of {listed}; an unknown one is {unknown}{kept}"


def _number(column: NumberColumn) -> str:
    fit = column.fitted
    parts = ["number"]
    if column.log is not None:
        parts.append(f"log({column.log:g} + x)")
    if fit is not None:
        scale = _SCALES[column.scaling].format(shift=fit.shift, scale=fit.scale)
        kept = ", which a session keeps" if column.session_scale else ""
        parts.append(scale + (" of each series" if column.per_series else "") + kept)
        parts.append(f"{fit.readings} readings from {fit.lowest:.6g} to {fit.highest:.6g}, {fit.missing} missing")
    parts.append("a missing one is the " + ("last one of the session" if column.missing == "carry" else "mean"))
    extra = [name for name, wanted in (("mask", column.mask), ("time since the last reading", column.since)) if wanted]
    if column.lead:
        parts.append(f"a step has the value of {column.lead} steps later")
    for name, steps in (("lags", column.lags), ("differences", column.differences)):
        if steps:
            extra.append(f"{name} {', '.join(map(str, steps))}")
    return "; ".join([*parts, *([f"with {', '.join(extra)}"] if extra else [])])
