"""Readings as a whole: the encoding and the cells against the same computed row by row in plain Python."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cellar.engine import KernelCache
from cellar.errors import InvalidInput
from cellar.nn.execution.executable import BoundNetwork, CompiledNetwork
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.readings.columns import CategoryColumn, NumberColumn
from cellar.nn.readings.table import check_columns, encode
from tests.nn.readings.tables import MadeColumn, MadeTable, fitted, network_of, weather

COLUMNS: list[dict[str, Any]] = [
    {"kind": "number", "name": "temp", "lags": [1, 24], "differences": [2], "since": True, "per_series": True},
    {"kind": "number", "name": "rain", "scaling": "causal", "log": 1.0, "lags": [3]},
    {"kind": "category", "name": "sky", "missing": "carry"},
    {
        "kind": "time",
        "name": "at",
        "zone": "Europe/Berlin",
        "calendar": ["hour", "weekday", "month", "day_of_year"],
        "elapsed": True,
    },
    {"kind": "series", "name": "station"},
]
OTHERS: list[dict[str, Any]] = [
    {
        "kind": "number",
        "name": "temp",
        "scaling": "robust",
        "missing": "mean",
        "mask": True,
        "since": True,
        "lags": [2],
    },
    {"kind": "number", "name": "rain", "scaling": "min_max", "mask": True},
    {"kind": "category", "name": "sky", "encoding": "ordinal"},
]


class Reference:
    """The features of one series, row by row."""

    def __init__(self, spec: ReadingsSpec) -> None:
        self.spec = spec
        self.state: dict[Any, Any] = {}

    def step(self, row: dict[str, Any]) -> dict[str, float]:
        """Return the features of a row by name."""
        found: dict[str, float] = {}
        passed = self._clock(row, found)
        for column in self.spec.columns:
            if isinstance(column, NumberColumn):
                self._number(column, row, passed, found)
            elif isinstance(column, CategoryColumn):
                self._category(column, row, found)
        return found

    def _clock(self, row: dict[str, Any], found: dict[str, float]) -> float:
        time = self.spec.layout.time
        if time is None:
            return 1.0
        now = float(row["at"])
        passed = max(0.0, now - float(self.state.get("now", now))) / (time[1].interval_s or 1)
        self.state["now"] = max(now, self.state.get("now", now))
        local = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(time[1].zone))
        seconds = local.hour * 3600 + local.minute * 60 + local.second
        # compared without zones
        begin, end = datetime(local.year, 1, 1), datetime(local.year + 1, 1, 1)  # noqa: DTZ001
        turns = {
            "hour": seconds / 86400,
            "weekday": (local.weekday() + seconds / 86400) / 7,
            "month": (local.month - 1) / 12,
            "day_of_year": (local.replace(tzinfo=None) - begin) / (end - begin),
        }
        for name in time[1].calendar:
            found[f"sine of {name}"] = math.sin(2 * math.pi * turns[name])
            found[f"cosine of {name}"] = math.cos(2 * math.pi * turns[name])
        if time[1].elapsed:
            found["time since the last step"] = math.log1p(passed)
        return passed

    def _number(self, column: NumberColumn, row: dict[str, Any], passed: float, found: dict[str, float]) -> None:
        fit, state, name = column.fitted, self.state.setdefault(column.name, {}), column.name
        assert fit is not None
        value, shift, scale = row[name], fit.shift, fit.scale
        if column.per_series and fit.series_shift is not None and fit.series_scale is not None:
            series = self.spec.layout.series
            assert series is not None
            at = (series[1].ids or ()).index(row["station"])
            shift, scale = fit.series_shift[at], fit.series_scale[at]
        is_there = value is not None
        if is_there:
            x = (math.log(value + column.log) if column.log is not None else value) - shift
            state["last"] = x / scale
        last = state.get("last", fit.fill) if is_there or column.missing == "carry" else fit.fill
        if column.scaling == "causal":
            if is_there:
                state.setdefault("all", []).append(last)
            known = state.get("all", [])
            mean, spread = (np.mean(known), np.var(known) * len(known)) if known else (fit.fill, 0.0)
            last = (last - mean) / math.sqrt(spread / max(len(known) - 1, 1) + 1e-6)
        found[name] = last
        if column.mask:
            found[f"{name} is there"] = float(is_there)
        if column.since:
            state["since"] = 0.0 if is_there else state.get("since", 0.0) + passed
            found[f"time since {name}"] = math.log1p(state["since"])
        start = 0.0 if column.scaling == "causal" else fit.fill
        history = state.setdefault("history", [start] * 64)
        for steps in column.lags:
            found[f"{name} {steps} before"] = history[-steps]
        for steps in column.differences:
            found[f"{name} against {steps} before"] = last - history[-steps]
        history.append(last)

    def _category(self, column: CategoryColumn, row: dict[str, Any], found: dict[str, float]) -> None:
        value, known = row[column.name], column.categories or ()
        if value is None and column.missing == "carry":
            value = self.state.get(column.name)
        self.state[column.name] = value
        if column.encoding == "ordinal":
            found[column.name] = (known.index(value) + 1) / len(known) if value in known else 0.0
        else:
            found |= {f"{column.name} = {each}": float(value == each) for each in known}


def rows_by_name(table: MadeTable, series: int) -> list[dict[str, Any]]:
    """Return the rows of a series as a client sends them."""
    found = []
    for row in range(int(table.bounds[series]), int(table.bounds[series + 1])):
        values = {name: None if np.isnan(v := float(table.values[name][row])) else v for name in ("temp", "rain")}
        code = int(table.values["sky"][row])
        sky = None if code < 0 else table.columns[2].categories[code]
        assert table.times is not None
        found.append({**values, "sky": sky, "at": float(table.times[row]), "station": table.series_ids[series]})
    return found


@pytest.fixture(scope="module", params=[COLUMNS, OTHERS], ids=["with times", "without times"])
def layer(request: pytest.FixtureRequest) -> ReadingsSpec:
    """Return a fitted layer."""
    return fitted(request.param, weather(), [slice(0, 150), slice(200, 350)])


@pytest.fixture(scope="module")
def bound(layer: ReadingsSpec, cache: KernelCache) -> BoundNetwork:
    """Return the network of the layer alone, ready to run."""
    network = network_of(layer)
    return CompiledNetwork(network, cache).bind(network.init(0), inference=True)


def test_features_are_those_of_a_plain_loop_over_rows(layer: ReadingsSpec, bound: BoundNetwork) -> None:
    table = weather(seed=7)
    inputs = encode(layer.layout, table, [slice(0, 200), slice(200, 400)])
    outputs = bound.run(inputs, bound.initial_state(2)).outputs
    for series in (0, 1):
        reference = Reference(layer)
        rows = rows_by_name(table, series)
        expected = [reference.step(row) for row in rows]
        assert {*expected[0]} == {*layer.features}
        wanted = np.array([[row[name] for name in layer.features] for row in expected])
        np.testing.assert_allclose(outputs[:, series], wanted, rtol=2e-5, atol=2e-5)


def test_rows_by_name_are_the_rows_of_the_table(layer: ReadingsSpec, bound: BoundNetwork) -> None:
    readings, table = bound.network.readings, weather()
    assert readings is not None
    rows = [
        [{name: value for name, value in row.items() if name in layer.layout.names}] for row in rows_by_name(table, 1)
    ]
    found = readings.reader.read(rows, lambda *_: "")
    np.testing.assert_array_equal(found, encode(layer.layout, table, [slice(200, 400)]))


def test_steps_rows_and_sequences_have_the_same_bits(layer: ReadingsSpec, bound: BoundNetwork) -> None:
    inputs = encode(layer.layout, weather(seed=3), [slice(0, 200), slice(200, 400)])
    whole = bound.run(inputs, bound.initial_state(2))
    state = bound.initial_state(1)
    for step in range(200):
        run = bound.advance(inputs[step : step + 1, 1:], (state.tobytes(),), None, None)
        state = run.state
        assert run.outputs.tobytes() == whole.outputs[step : step + 1, 1:].tobytes()
    assert state.tobytes() == whole.state[1:].tobytes()


def test_no_reading_makes_a_number_that_is_not_finite(layer: ReadingsSpec, bound: BoundNetwork) -> None:
    inputs = encode(layer.layout, weather(seed=3), [slice(0, 6)])
    inputs[:, :, :2] = np.array([[3e38, 1e-45], [0, 3e38], [1e-45, 0], [np.nan, np.nan], [1e30, 1], [7, 7]])[:, None]
    run = bound.run(inputs, bound.initial_state(1))
    assert run.bad_step is None or (run.bad_step < 0).all()
    assert np.isfinite(run.outputs).all()


def test_time_elapsed_is_exact_to_the_second_and_never_negative(cache: KernelCache) -> None:
    at = {"kind": "time", "name": "at", "elapsed": True, "interval_s": 1.0}
    columns: list[dict[str, Any]] = [{"kind": "number", "name": "temp"}, at]
    network = network_of(fitted(columns, weather()))
    bound = CompiledNetwork(network, cache).bind(network.init(0), inference=True)
    assert network.readings is not None
    times = ["2026-01-01T23:59:59Z", "2026-01-02T00:00:00Z", "2026-01-02T00:00:01", "2025-01-01", "2026-07-01T00:00:02"]
    rows = [[{"at": time}] for time in times]
    run = bound.run(network.readings.reader.read(rows, lambda *_: ""), bound.initial_state(1))
    passed = np.expm1(run.outputs[:, 0, -1].astype(np.float64))
    np.testing.assert_allclose(passed, [0, 1, 1, 0, 180 * 86400 + 1], rtol=3e-6)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"columns": [MadeColumn("temp", "number"), MadeColumn("at", "time")]}, "no column 'rain'"),
        (
            {"columns": [MadeColumn("temp", "number"), MadeColumn("rain", "category", ("a",))]},
            "'rain' holds no numbers",
        ),
        ({"times": None}, "no times for the column 'at'"),
    ],
)
def test_columns_of_another_table_have_the_same_types(change: dict[str, Any], detail: str) -> None:
    columns = [{"kind": "number", "name": name} for name in ("temp", "rain")]
    layout = fitted([*columns, {"kind": "time", "name": "at"}], weather()).layout
    check_columns(layout, weather(), "/dataset")
    with pytest.raises(InvalidInput, match=detail) as raised:
        check_columns(layout, replace(weather(), **change), "/dataset")
    assert raised.value.pointer == "/dataset"
