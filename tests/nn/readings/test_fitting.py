"""What is fitted to the training part of a table, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellar.errors import InvalidInput
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.readings.columns import CategoryColumn, NumberColumn, NumberFit, SeriesColumn, TimeColumn
from cellar.nn.readings.fitting import fit
from tests.nn.readings.tables import MadeTable, fitted, weather

TRAINING = [slice(0, 100), slice(200, 300)]


def fit_number(table: MadeTable, **settings: Any) -> NumberFit:
    """Return what is fitted to the column temp."""
    columns = [{"kind": "number", "name": "temp", **settings}, {"kind": "series", "name": "station"}]
    column = fitted(columns, table, TRAINING).columns[0]
    assert isinstance(column, NumberColumn)
    assert column.fitted is not None
    return column.fitted


def readings(table: MadeTable, name: str = "temp") -> Any:
    """Return the readings of a column in training."""
    values = np.concatenate([table.values[name][rows].astype(np.float64) for rows in TRAINING])
    return values[~np.isnan(values)]


def test_scales_are_those_of_the_training_part() -> None:
    table = weather()
    known = readings(table)
    standard = fit_number(table)
    assert (standard.shift, standard.scale) == pytest.approx((known.mean(), known.std()))
    assert (standard.readings, standard.missing) == (len(known), 200 - len(known))
    assert (standard.lowest, standard.highest) == (known.min(), known.max())
    low_high = fit_number(table, scaling="min_max")
    assert (low_high.shift, low_high.scale) == pytest.approx((known.min(), known.max() - known.min()))
    assert low_high.fill == pytest.approx((known.mean() - known.min()) / (known.max() - known.min()))
    robust = fit_number(table, scaling="robust")
    quartiles = np.quantile(known, [0.25, 0.5, 0.75], method="nearest")
    assert (robust.shift, robust.scale) == pytest.approx((quartiles[1], quartiles[2] - quartiles[0]), rel=0.02)
    logs = np.log(known + 100)
    assert fit_number(table, log=100.0).shift == pytest.approx(logs.mean())
    assert fit_number(table, scaling="none").model_dump()["scale"] == 1


def test_each_series_has_its_own_scale() -> None:
    table = weather()
    table.values["temp"][200:] *= 100
    table.values["temp"][200:300] = 3
    found = fit_number(table, per_series=True)
    north = table.values["temp"][:100]
    assert found.series_shift == pytest.approx((np.nanmean(north), found.shift), rel=1e-6)
    assert found.series_scale == pytest.approx((np.nanstd(north), found.scale), rel=1e-6)


def test_a_constant_column_is_not_scaled() -> None:
    table = weather()
    table.values["temp"][:] = 0.1
    for scaling in ("standard", "min_max", "robust"):
        found = fit_number(table, scaling=scaling)
        assert (found.shift, found.scale) == pytest.approx((0.1, 1))


def test_huge_numbers_are_scaled() -> None:
    table = weather()
    table.values["temp"][:] *= np.float32(1e36)
    found = fit_number(table)
    assert found.scale == pytest.approx(readings(table).std(), rel=1e-6)


def test_categories_series_and_intervals_are_found() -> None:
    columns = [{"kind": "category", "name": "sky"}, {"kind": "time", "name": "at"}, {"kind": "series", "name": "id"}]
    sky, at, series = fitted(columns, weather(), TRAINING).columns
    assert isinstance(sky, CategoryColumn)
    assert sky.categories == ("a", "b", "c")
    assert isinstance(at, TimeColumn)
    assert at.interval_s == 3600
    assert isinstance(series, SeriesColumn)
    assert series.ids == ("north", "south")


def test_a_number_may_be_a_category() -> None:
    table = weather()
    table.values["temp"][:] = np.arange(400) % 3
    table.values["temp"][0] = np.nan
    (column,) = fitted([{"kind": "category", "name": "temp"}], table).columns
    assert isinstance(column, CategoryColumn)
    assert column.categories == ("0", "1", "2")


def test_what_was_given_stays() -> None:
    given = {"kind": "category", "name": "sky", "categories": ["a"]}
    assert fitted([given], weather()).columns[0].model_dump()["categories"] == ("a",)


def _gone(table: MadeTable) -> None:
    table.values["temp"][:] = np.nan


def _below(table: MadeTable) -> None:
    table.values["temp"][:] = 1
    table.values["temp"][77] = -2


@pytest.mark.parametrize(
    ("column", "change", "pointer", "words"),
    [
        ({"kind": "number", "name": "tmp"}, None, "/columns/0/name", "did you mean 'temp'"),
        ({"kind": "number", "name": "sky"}, None, "/columns/0/kind", "has no numbers"),
        ({"kind": "number", "name": "temp"}, _gone, "/columns/0", "no reading in training"),
        ({"kind": "number", "name": "temp", "log": 1.0}, _below, "/columns/0/log", "row 77"),
        ({"kind": "category", "name": "temp"}, _gone, "/columns/0", "0 categories"),
    ],
)
def test_a_column_that_cannot_be_fitted_is_refused(column: Any, change: Any, pointer: str, words: str) -> None:
    table = weather()
    if change:
        change(table)
    with pytest.raises(InvalidInput, match=words) as error:
        fitted([column], table, TRAINING)
    assert error.value.pointer == pointer


def test_too_many_series_are_refused() -> None:
    table = weather()
    many = replace(table, series_ids=[str(at) for at in range(5000)], bounds=np.minimum(np.arange(5001), 400))
    spec = ReadingsSpec.model_validate(
        {"columns": [{"kind": "number", "name": "temp"}, {"kind": "series", "name": "s"}]}
    )
    with pytest.raises(InvalidInput, match="too many series"):
        fit(spec.columns, many, TRAINING)
