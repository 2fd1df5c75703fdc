"""Columns of tables that are hard to learn from."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.jobs.recipe.planning.plan import Plan, make_plan
from cellar.jobs.recipe.request import ForecastData
from cellar.nn.model.network import Network
from cellar.nn.readings.columns import CategoryColumn
from cellar.table import Column, Table
from tests.jobs.recipe.tables import DAY, hourly, table

STEPS = 20 * DAY


def planned(readings: Table, **data: object) -> Plan:
    """Return the plan for the target `temp`."""
    asked = {"dataset": "readings", "targets": ["temp"], "horizon": 6} | data
    return make_plan(readings, ForecastData.model_validate(asked), {})


def test_a_constant_input_is_left_out() -> None:
    plan = planned(hourly(20, volts=np.full(STEPS, 5.0)))
    assert [column.name for column in plan.readings.columns] == ["temp"]
    assert plan.warnings == ("the input 'volts' is constant in training, and is left out",)


def test_an_input_without_readings_is_left_out() -> None:
    plan = planned(hourly(20, volts=np.where(np.arange(STEPS) < STEPS - 5, np.nan, 5.0)))
    assert plan.warnings == ("the input 'volts' has no reading in training, and is left out",)


def test_texts_are_categories_of_the_training_part() -> None:
    codes = np.arange(STEPS) % 3 - 1  # the first of three is missing
    codes[-1] = 2
    names = ("north", "south", "west")
    hours = hourly(20)
    sites = Column("site", "category", categories=names)
    values = dict(hours.values) | {"site": codes.astype(np.int32)}
    readings = Table((*hours.columns, sites), hours.series_ids, hours.bounds, hours.times, values)
    plan = planned(readings)
    (column,) = [each for each in plan.readings.columns if isinstance(each, CategoryColumn)]
    assert (column.name, column.categories) == ("site", ("north", "south"))
    assert Network(plan.network).readings is not None


def test_a_copy_of_the_target_is_told() -> None:
    readings = hourly(20)
    fahrenheit = readings.values["temp"].astype(np.float64) * 1.8 + 32
    noise = np.random.default_rng(1).normal(size=STEPS)
    plan = planned(hourly(20, fahrenheit=fahrenheit, rounded=np.round(fahrenheit, 1), other=noise))
    assert len(plan.warnings) == 2
    assert "'fahrenheit' is the target 'temp' at the same time" in plan.warnings[0]
    assert "'rounded' is the target 'temp' at the same time" in plan.warnings[1]


def test_an_input_that_is_a_later_target_is_told() -> None:
    temp = hourly(20).values["temp"].astype(np.float64)
    ahead, beyond, past = -2 * np.roll(temp, -3) + 7, np.roll(temp, -7), np.roll(temp, 1)
    plan = planned(hourly(20, ahead=np.where(np.arange(STEPS) % 9, ahead, np.nan), beyond=beyond, past=past))
    assert len(plan.warnings) == 1
    assert "'ahead' is the target 'temp' 3 steps later" in plan.warnings[0]


@pytest.mark.parametrize("loss", ["poisson", "negative_binomial", "quantile", "binary_cross_entropy", "cross_entropy"])
def test_a_loss_that_cannot_compare_scaled_targets_is_refused(loss: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        make_plan(hourly(20), ForecastData(dataset="readings", targets=("temp",)), {"loss": loss})
    assert (raised.value.pointer, raised.value.actual) == ("/loss", loss)
    assert make_plan(hourly(20), ForecastData(dataset="readings", targets=("temp",)), {"loss": "huber"}).updates


def test_a_constant_target_is_told() -> None:
    plan = planned(table({"temp": np.full(STEPS, 7.0), "other": np.arange(STEPS, dtype=np.float64) % 7}, [STEPS]))
    assert len(plan.warnings) == 1
    assert "there is nothing to forecast" in plan.warnings[0]
    with pytest.raises(InvalidInput) as raised:
        planned(table({"temp": np.full(STEPS, np.nan)}, [STEPS]))
    assert raised.value.pointer == "/data/targets/0"


@pytest.mark.parametrize(
    ("data", "pointer", "expected"),
    [
        ({"targets": ["tmp"]}, "/data/targets/0", "one of at, temp"),
        ({"inputs": ["volts"]}, "/data/inputs/0", "one of at, temp"),
        ({"targets": []}, "/data/targets", "at least one name"),
        ({"targets": ["at"]}, "/data/targets/0", "a column of numbers"),
    ],
)
def test_columns_that_are_not_there_are_named(data: dict[str, object], pointer: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        planned(hourly(20), **data)
    assert (raised.value.pointer, raised.value.expected) == (pointer, expected)


def test_a_target_without_readings_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no reading in training"):
        planned(table({"temp": np.full(STEPS, np.nan)}, [STEPS]))


@pytest.mark.parametrize(
    ("temp", "sent", "pointer"),
    [
        (np.where(np.arange(STEPS) < STEPS - 96, np.arange(STEPS) % 7, np.nan), {}, "/data/targets/0"),
        (np.arange(STEPS) % 7, {"validation": 0.0001}, "/validation"),
        (3e38 * (-1) ** np.arange(STEPS), {}, "/data/targets/0"),
    ],
    ids=["no reading is held out", "one step is held out", "too large"],
)
def test_what_cannot_be_measured_or_scaled_is_refused(
    temp: NDArray[np.float64], sent: dict[str, object], pointer: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        make_plan(table({"temp": temp}, [STEPS]), ForecastData(dataset="readings", targets=("temp",)), sent)
    assert raised.value.pointer == pointer


def test_series_of_one_step_are_refused() -> None:
    with pytest.raises(InvalidInput, match="the longest series has 0 steps to train on"):
        planned(table({"temp": np.arange(5.0)}, [1] * 5))
