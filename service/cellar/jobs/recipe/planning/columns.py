"""Turns the columns of a table into the readings of a network, fitted to the training part."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cellar.errors import InvalidInput
from cellar.jobs.recipe.choices import Choice
from cellar.jobs.recipe.planning.features import differences_of, returns, seasonal_steps
from cellar.jobs.recipe.planning.leaks import SAMPLE, leaks
from cellar.jobs.recipe.planning.scales import QUARTILES, own_scales, scaled_by_session
from cellar.jobs.recipe.planning.scales import choice_of as scale_choice
from cellar.jobs.recipe.planning.times import choice_of, times_of
from cellar.jobs.recipe.request import ForecastData
from cellar.nn.readings.columns import MAX_LAG, CategoryColumn, NumberColumn, NumberFit
from cellar.nn.readings.columns import Column as ReadingsColumn
from cellar.nn.readings.fitting import CHUNK_ROWS, fit
from cellar.table import Column, Table

MOST_CATEGORIES = 64
"""A column with more categories is left out, unless it is named: it is an id or a text."""

MOST_AHEAD = 31
"""The most values of an input that is known in advance, besides that of the last step ahead."""


@dataclass(frozen=True, slots=True)
class ChosenColumns:
    """The columns of the readings, the targets first, and what was found."""

    columns: tuple[ReadingsColumn, ...]
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    levels: frozenset[str]
    """The columns whose level the trained layers read."""
    seasonal: int | None = None
    """The period whose values forecasts begin with; None: they begin with the last value."""
    unread: frozenset[int] = frozenset()
    """Differences of targets that only serve this, and which the recurrent layer does not read."""


def targets_of(table: Table, data: ForecastData) -> tuple[str, ...]:
    """Return the names of the targets. Raise InvalidInput for columns that the table does not have."""
    names = {column.name: column for column in table.columns}
    targets = data.targets or tuple(column.name for column in table.columns if column.role == "target")
    if not targets:
        raise InvalidInput("no column is a target", pointer="/data/targets", expected="at least one name", actual="[]")
    for kind, chosen in (("targets", targets), ("inputs", data.inputs or ())):
        for index, name in enumerate(chosen):
            if name not in names:
                raise InvalidInput(
                    f"the dataset {data.dataset!r} has no column {name!r}",
                    pointer=f"/data/{kind}/{index}",
                    expected=f"one of {', '.join(names)}",
                    actual=name,
                )
            if kind == "targets" and names[name].type != "number":
                raise InvalidInput(
                    f"the target {name!r} has no numbers",
                    pointer=f"/data/targets/{index}",
                    expected="a column of numbers",
                    actual=f"a column of the type {names[name].type}",
                )
    return targets


def choose_columns(
    table: Table,
    data: ForecastData,
    trained: Sequence[slice],
    longest: slice,
    period: int | None,
    *,
    has_layers: bool = False,
) -> ChosenColumns:
    """Return the readings for the targets and inputs, fitted to these rows. `longest` are those of the longest series.

    If the request `has_layers`, they read all features, and begin with no value of a period before.
    Raise InvalidInput for a target without readings.
    """
    targets = targets_of(table, data)
    differences, warnings = differences_of(period, longest.stop - longest.start), list[str]()
    forecast = [np.asarray(table.values[name][longest][-SAMPLE:], np.float64) for name in targets]
    seasonal = () if has_layers else seasonal_steps(forecast, period, data.horizon)
    kept = tuple(sorted({*differences, *seasonal}))
    columns, levels = list[ReadingsColumn](), set[str]()
    for column in _read(table, data, targets, warnings):
        is_target = column.name in targets
        if not is_target and (reason := _unreadable(table, column, trained)) is not None:
            warnings.append(f"the input {column.name!r} {reason}, and is left out")
            continue
        if column.type == "category":
            warnings += [_TEXTS_AHEAD.format(column.name)] if column.role == "future" else ()
            columns += fit([CategoryColumn(name=column.name)], table, trained)
            continue
        if is_target:
            _check_target(table, column, trained, targets.index(column.name))
        read = kept if is_target else tuple(each for each in (1, period) if each in differences)
        columns.append(_fitted(table, _number(column, data, read, is_target=is_target), trained, warnings))
        some = table.values[column.name][longest][-SAMPLE:].astype(np.float64)
        if not is_target or returns(some, data.horizon):
            levels.add(column.name)
    warnings += leaks(table, targets, columns, longest, data.horizon)
    names = [column.name for column in columns]
    columns, scaling = _scaled(table, columns, targets, trained)
    times = [times_of(table, data.dataset, trained, longest)] if data.times else []
    choices = _choices(names, targets, scaling, differences, levels)
    choices += (*map(choice_of, times), *_choices_ahead(columns))
    choices += (Choice("begin", f"the value {period} steps before", _WHY_SEASONAL),) if seasonal else ()
    begins, unread = period if seasonal else None, frozenset(kept) - frozenset(differences)
    return ChosenColumns((*columns, *times), choices, tuple(warnings), frozenset(levels), begins, unread)


_TEXTS_AHEAD = (
    "the values ahead of {!r} are not read, because they are texts: send numbers, such as 0 and 1 for each of them"
)


def _number(column: Column, data: ForecastData, differences: Sequence[int], *, is_target: bool) -> NumberColumn:
    """Return the specification of a column of numbers, before it is fitted."""
    if is_target:
        lags = tuple(data.lags or ())
        return NumberColumn(
            name=column.name, role="target", scaling="robust", differences=tuple(differences), lags=lags
        )
    if column.role == "future" and data.horizon <= MAX_LAG:
        return known_ahead(column.name, data.horizon)
    return NumberColumn(name=column.name, scaling="robust", differences=tuple(differences))


def known_ahead(name: str, horizon: int) -> NumberColumn:
    """Return an input that is known in advance: the network reads its values at the steps that are forecast.

    Of a long horizon they are those of some steps, at equal distances.
    """
    steps = np.unique(np.linspace(1, horizon - 1, min(horizon - 1, MOST_AHEAD)).round().astype(int)).tolist()
    return NumberColumn(name=name, role="future", scaling="robust", lead=horizon, lags=tuple(steps))


def _fitted(table: Table, spec: NumberColumn, trained: Sequence[slice], warnings: list[str]) -> NumberColumn:
    """Return a column of numbers, fitted to the training part."""
    (fitted,) = fit([spec], table, trained)
    assert isinstance(fitted, NumberColumn)
    assert fitted.fitted is not None
    if spec.role == "target" and fitted.fitted.lowest == fitted.fitted.highest:
        warnings.append(f"the target {spec.name!r} is constant in training: there is nothing to forecast")
    return _tail_scaled(fitted)


def _scaled(
    table: Table, columns: list[ReadingsColumn], targets: Sequence[str], trained: Sequence[slice]
) -> tuple[list[ReadingsColumn], Choice]:
    """Return the columns, those with a scale of the session if series differ, and the choice."""
    names = [column.name for column in columns if isinstance(column, NumberColumn)]
    found = {name: own_scales(table, name, trained) for name in names} if len(trained) > 1 else {}
    differing = [name for name, each in found.items() if each.differ]
    if not differing:
        return columns, Choice("scaling", "robust", _WHY_ROBUST)
    chosen = {name for name in found if name in targets or name in differing}
    numbers = [each for each in columns if isinstance(each, NumberColumn) and each.name in chosen]
    scaled, series = scaled_by_session(table, numbers, found)
    by_name = {each.name: each for each in scaled}
    kept: list[ReadingsColumn] = [by_name.get(each.name, each) for each in columns]
    return [*kept, *([] if series is None else [series])], scale_choice(found[differing[0]], differing[0], series)


def _choices(
    names: Sequence[str], targets: Sequence[str], scaling: Choice, differences: Sequence[int], levels: set[str]
) -> tuple[Choice, ...]:
    return (
        Choice("data.targets", list(targets), "They were named, or have the role `target`."),
        Choice("data.inputs", [name for name in names if name not in targets], "All other columns that can be read."),
        scaling,
        Choice("differences", list(differences), "The network reads by how much each target has changed since then."),
        Choice("levels", sorted(levels), _WHY_LEVELS),
    )


def _choices_ahead(columns: Sequence[ReadingsColumn]) -> Iterator[Choice]:
    """Yield the choice of columns that are read ahead, if there are any."""
    ahead = [each for each in columns if isinstance(each, NumberColumn) and each.lead]
    if ahead:
        yield Choice("ahead", [each.name for each in ahead], _WHY_AHEAD.format(ahead[0].lead))


_WHY_SEASONAL = (
    "Forecasts begin with it in place of the last reading, and the network learns the difference: the target repeats,"
    " and its level does not return to a mean."
)

_WHY_AHEAD = (
    "They are known in advance: a step of a session has their value of {} steps later, and the network reads those of"
    " the steps that are forecast. What they change is added to the forecast by weights of its own."
)

_WHY_ROBUST = "Columns are scaled by median and quartiles: outliers do not change the scale."

_WHY_LEVELS = (
    "Of these columns the network reads the level too. Other targets do not return to their mean within the horizon: it"
    " reads only their changes, so that it also works at levels that training has not seen."
)


def _read(table: Table, data: ForecastData, targets: Sequence[str], warnings: list[str]) -> Iterator[Column]:
    """Yield the columns that the network reads, the targets first."""
    by_name = {column.name: column for column in table.columns}
    yield from (by_name[name] for name in targets)
    for column in table.columns:
        if column.name in targets or column.type == "time" or column.role in ("series", "time"):
            continue
        if data.inputs is not None:
            if column.name in data.inputs:
                yield column
        elif column.type == "category" and len(column.categories) > MOST_CATEGORIES:
            warnings.append(
                f"the column {column.name!r} has {len(column.categories)} different texts, and is left out: name it in"
                " `inputs` to read it"
            )
        else:
            yield column


_NOTHING = "has no reading in training"


def _unreadable(table: Table, column: Column, trained: Sequence[slice]) -> str | None:
    """Return why the training part of a column says nothing, None if it does."""
    lowest, highest = math.inf, -math.inf
    for rows in trained:
        for begin in range(rows.start, rows.stop, CHUNK_ROWS):
            some = table.values[column.name][begin : min(begin + CHUNK_ROWS, rows.stop)]
            present = some[some >= 0] if column.type == "category" else some[~np.isnan(some)]
            if present.size:
                lowest, highest = min(lowest, float(present.min())), max(highest, float(present.max()))
    if lowest > highest:
        return _NOTHING
    return "is constant in training" if lowest == highest else None


def _check_target(table: Table, column: Column, trained: Sequence[slice], place: int) -> None:
    """Raise InvalidInput for a target without a reading to train on."""
    if _unreadable(table, column, trained) == _NOTHING:
        raise InvalidInput(
            f"the target {column.name!r} has no reading in training: send readings, or name another target",
            pointer=f"/data/targets/{place}",
            expected="a column with readings in the first part of the series",
            actual=column.name,
        )


LARGEST = 1e37
"""The largest median and quartile range of a target. Forecasts of larger readings may be infinite in float32."""


def check_scale(column: NumberColumn, fitted: NumberFit, place: int) -> None:
    """Raise InvalidInput for a target whose forecasts float32 may not hold."""
    if (largest := max(abs(fitted.shift), fitted.scale)) > LARGEST:
        raise InvalidInput(
            f"the target {column.name!r} has readings of about {largest:.2g}: send it in a larger unit",
            pointer=f"/data/targets/{place}",
            expected=f"a median and a quartile range of at most {LARGEST:g}",
            actual=f"{largest:.6g}",
        )


def check_held_out(table: Table, targets: Sequence[str], trained: Sequence[slice]) -> None:
    """Raise InvalidInput if no forecast of a target can be measured behind the rows that are trained on."""
    ends = [*table.bounds[1:].tolist()]
    held_out = [slice(rows.stop + 1, end) for rows, end in zip(trained, ends, strict=True) if rows.stop + 1 < end]
    if not held_out:
        raise InvalidInput(
            "no series has two steps that are held out, so no forecast could be measured: send a larger share",
            pointer="/validation",
            expected="a share of 2 steps of the longest series at least",
            actual="1 step",
        )
    for place, target in enumerate(targets):
        values = table.values[target]
        if all(np.isnan(values[rows]).all() for rows in held_out):
            raise InvalidInput(
                f"the target {target!r} has no reading in the last part of the series, where forecasts are measured:"
                " send readings, or another share of validation",
                pointer=f"/data/targets/{place}",
                expected="a column with readings in the last part of the series",
                actual=target,
            )


def _tail_scaled(column: NumberColumn) -> NumberColumn:
    """Return the column with its quartile range scaled to that of a normal distribution of deviation 1."""
    fitted = column.fitted
    assert fitted is not None
    return column if fitted.lowest == fitted.highest else column.model_copy(update={"fitted": _widened(fitted)})


def _widened(fitted: NumberFit) -> NumberFit:
    return fitted.model_copy(update={"scale": fitted.scale / QUARTILES, "fill": fitted.fill * QUARTILES})
