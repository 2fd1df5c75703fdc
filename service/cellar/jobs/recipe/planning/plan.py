"""Plans a job on a dataset: the network, the settings of its training, and why they were chosen.

A plan is a value that the job stores. What it needs besides, it computes again from the table: the same each time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from cellar.errors import InvalidInput
from cellar.jobs.recipe.choices import Choice
from cellar.jobs.recipe.planning.columns import ChosenColumns, check_held_out, check_scale, choose_columns, targets_of
from cellar.jobs.recipe.planning.period import period_of
from cellar.jobs.recipe.planning.settings import check_loss, run_of, shape_of
from cellar.jobs.recipe.planning.trunk import FROZEN, Trunk, numbered
from cellar.jobs.recipe.request import ForecastData
from cellar.jobs.recipe.series import trained_steps
from cellar.jobs.recipe.widths import choice_of
from cellar.jobs.recipe.windows import Shape, count_windows
from cellar.nn.forecasting.publishing import with_forecast
from cellar.nn.model.layers.forecast import ForecastSpec
from cellar.nn.model.layers.readings import ReadingsSpec
from cellar.nn.model.layers.residual import ResidualSpec
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.readings.columns import NumberColumn
from cellar.nn.readings.table import check_columns
from cellar.nn.training.spec import TrainingSpec
from cellar.table import Table

VALIDATION = 0.2
"""The share of each series that is held out, unless the request says another."""

HIDDEN = 32
"""The size of the LSTM: 16 forecasts the series of `benchmarks.forecasting` worse, and 64 on the whole no better."""

CELL = "lstm"

LONG_DATA = 3
"""The first steps, as many as the longest difference, are not scored in a series as many times longer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a dataset is trained on."""

    network: NetworkSpec
    """Readings, trained layers, and the forecast without residuals."""
    training: Mapping[str, Any]
    """Fields of `TrainingSpec`."""
    shape: Shape
    validation: float
    since: int
    """The first steps of a series that are not scored, because differences to readings before it are not known."""
    period: int | None
    trunk: Trunk | None
    """The layers of the recipe; None for those of the request or of a model."""
    windows: int
    """Windows of the training part."""
    updates: int
    choices: tuple[Choice, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def readings(self) -> ReadingsSpec:
        """The first layer."""
        found = self.network.layers[0]
        assert isinstance(found, ReadingsSpec)
        return found

    @property
    def forecast(self) -> ForecastSpec:
        """The last layer."""
        found = self.network.layers[-1]
        assert isinstance(found, ForecastSpec)
        return found

    @property
    def trained_network(self) -> NetworkSpec:
        """The layers between readings and forecast, which read features and answer scaled numbers."""
        layers = self.network.layers[1:-1]
        return self.network.model_copy(update={"in_size": len(self.readings.features), "layers": layers})

    @property
    def trained_spec(self) -> TrainingSpec:
        """The settings of the training of those layers, which are numbered from 0."""
        freeze = numbered(self.training.get("freeze", ()), -1)
        fields = dict(self.training) | ({"freeze": freeze} if freeze else {})
        fields["window"] = fields["validation"] = None
        return TrainingSpec.model_validate_json(json.dumps(fields))

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON, without the settings of the training."""
        trunk: dict[str, Any] | None = None
        if self.trunk is not None:
            trunk = {"read": self.trunk.read, "base": self.trunk.base}
            trunk |= {} if self.trunk.cell == CELL else {"cell": self.trunk.cell}
            trunk |= {"changes": self.trunk.changes} if self.trunk.changes else {}
        return {
            "network": json.loads(self.network.model_dump_json()),
            "window": self.shape.window,
            "skip": self.shape.skip,
            "every": self.shape.every,
            "validation": self.validation,
            "since": self.since,
            "period": self.period,
            "trunk": trunk,
            "hidden_size": None if self.trunk is None else self.trunk.hidden_size,
            "chosen": [{"field": each.field, "value": each.value, "why": each.why} for each in self.choices],
            "warnings": list(self.warnings),
        }


def read_plan(document: Mapping[str, Any], training: Mapping[str, Any]) -> Plan:
    """Return the plan of a document of `Plan.document`."""
    network = NetworkSpec.model_validate_json(json.dumps(document["network"]))
    readings, forecast = network.layers[0], network.layers[-1]
    assert isinstance(readings, ReadingsSpec)
    assert isinstance(forecast, ForecastSpec)
    found, trunk = document["trunk"], None
    if found is not None:
        read, base = tuple(found["read"]), tuple(found["base"])
        size, cell = document["hidden_size"], found.get("cell", CELL)
        changes = tuple(found.get("changes", ()))
        trunk = Trunk(len(readings.features), read, base, forecast.horizon, size, cell, changes)
    shape = Shape(document["window"], document["skip"], forecast.horizon, document["every"])
    rest = {name: document[name] for name in ("validation", "since", "period")}
    return Plan(network=network, training=training, shape=shape, trunk=trunk, windows=0, updates=0, **rest)


def rows_of(table: Table) -> list[slice]:
    """Return the rows of each series."""
    edges = table.bounds.tolist()
    return [slice(begin, end) for begin, end in pairwise(edges)]


def training_rows(series: Sequence[slice], validation: float) -> list[slice]:
    """Return the rows of each series that are trained on."""
    return [slice(each.start, each.start + trained_steps(each.stop - each.start, validation)) for each in series]


def interval_of(table: Table, rows: slice) -> float | None:
    """Return the median time between two rows of a series, seconds; None without times."""
    if table.times is None or rows.stop - rows.start < 2:
        return None
    return float(np.median(np.diff(table.times[rows][-20_000:])))


@dataclass(frozen=True, slots=True)
class _Divided:
    """The parts of the series of a table."""

    validation: float
    trained: list[slice]
    longest: slice
    """The rows of the longest training part."""
    shape: Shape
    period: int | None
    choices: tuple[Choice, ...]

    @property
    def steps(self) -> list[int]:
        """The trained steps of each series."""
        return [rows.stop - rows.start for rows in self.trained]


def _divide(table: Table, target: str, horizon: int, sent: Mapping[str, Any]) -> _Divided:
    """Return the parts of the series. Raise InvalidInput for data that are too short."""
    validation = sent.get("validation") or VALIDATION
    trained = training_rows(rows_of(table), validation)
    longest = max(trained, key=lambda rows: rows.stop - rows.start)
    steps = [rows.stop - rows.start for rows in trained]
    shape, choices = shape_of(steps, horizon, sent.get("window"), sent.get("skip"))
    values = np.asarray(table.values[target][longest][-20_000:], np.float64)
    period, why = period_of(values, horizon, interval_of(table, longest))
    return _Divided(validation, trained, longest, shape, period, (Choice("period", period, why), *choices))


def _plan(divided: _Divided, network: NetworkSpec, trunk: Trunk | None, sent: Mapping[str, Any]) -> Plan:
    """Return the plan that trains the layers of a network between its readings and its forecast."""
    readings, forecast, steps = network.layers[0], network.layers[-1], divided.steps
    assert isinstance(readings, ReadingsSpec)
    assert isinstance(forecast, ForecastSpec)
    shape = _within_memory(steps, divided.shape, len(readings.features), forecast.out_size)
    windows = count_windows(steps, shape)
    run, choices = run_of(windows, dict(sent))
    check_loss(run["loss"], forecast.out_size)
    if shape.every > 1:
        choices.append(Choice("windows", windows, f"Every {shape.every}th of the windows is trained on: {WHY_EVERY}"))
    if "validation" not in sent:
        choices.append(Choice("validation", divided.validation, WHY_VALIDATION))
    choices.append(choice_of(readings, forecast))
    if _is_recipe(network):
        run["freeze"] = [*run.get("freeze", ()), *numbered(FROZEN[:-1] if readings.layout.ahead else FROZEN, 1)]
    fields = {"state": "reset", "skip": shape.skip, "window": shape.window, "validation": divided.validation}
    since = max(max(each.differences, default=0) for each in readings.columns if isinstance(each, NumberColumn))
    return Plan(
        network=network,
        training=run | fields,
        shape=shape,
        validation=divided.validation,
        since=since if since * LONG_DATA < max(steps) else 0,
        period=divided.period,
        trunk=trunk,
        windows=windows,
        updates=-(-windows // run["batch_size"]) * run["epochs"],
        choices=(*divided.choices, *choices),
    )


def make_plan(table: Table, data: ForecastData, sent: Mapping[str, Any], layers: Sequence[Any] | None = None) -> Plan:
    """Return the plan for a new model. `sent` are the fields of `TrainingSpec` that the request gave.

    `layers` are those of the request between readings and forecast. Raise InvalidInput for columns that are not there,
    and for data that are too short.
    """
    targets = targets_of(table, data)
    divided = _divide(table, targets[0], data.horizon, sent)
    columns = choose_columns(
        table, data, divided.trained, divided.longest, divided.period, has_layers=layers is not None
    )
    check_held_out(table, targets, divided.trained)
    readings = ReadingsSpec(columns=columns.columns)
    trunk = None if layers is not None else trunk_of(readings, columns, targets, data)
    forecast = forecast_of(readings, targets, data.horizon)
    middle = [*(layers or ()), {"type": "dense", "out_size": forecast.out_size}] if trunk is None else trunk.layers
    plan = _plan(divided, _network(readings, middle, forecast), trunk, sent)
    network = () if trunk is None else (Choice("network", f"{trunk.cell} {trunk.hidden_size}", trunk.why),)
    return replace(plan, choices=(*columns.choices, *network, *plan.choices), warnings=columns.warnings)


MOST_WINDOW_BYTES = 64 * 1024 * 1024
"""The most bytes of the windows of training."""

WHY_EVERY = "they are spread evenly over all series, and more would take memory and learn nothing new."


def _within_memory(steps: Sequence[int], shape: Shape, features: int, outputs: int) -> Shape:
    """Return the form of windows that are spread over the data so that they take a bounded memory."""
    needed = count_windows(steps, shape) * window_bytes(shape, features, outputs)
    return replace(shape, every=-(-needed // MOST_WINDOW_BYTES) or 1)


def window_bytes(shape: Shape, features: int, outputs: int) -> int:
    """Return the bytes of a window with its targets and weights."""
    return 4 * (shape.window * features + shape.scored * (outputs + 1))


WHY_VALIDATION = (
    "The last part of each series is held out. There the forecasts are measured, with the state from all steps before."
)


def plan_again(table: Table, data: ForecastData, sent: Mapping[str, Any], network: NetworkSpec) -> Plan:
    """Return the plan that continues a model whose network has readings and a forecast.

    Columns, their scales and the horizon are those of the model. Raise InvalidInput if the request names others, or
    the table has no such columns.
    """
    first, last = network.layers[0], network.layers[-1]
    if not isinstance(first, ReadingsSpec) or not isinstance(last, ForecastSpec):
        raise InvalidInput(
            "the model reads no columns of a table: a dataset trains a model that was made of one. Send the name of a"
            " new model, or the data as arrays",
            pointer="/model",
            expected="a new name, or a model whose first layer is readings and whose last one is forecast",
            actual=f"layers {first.type} to {last.type}",
        )
    targets = tuple(target.name for target in last.targets)
    _check_same(data, first, last, targets)
    targets_of(table, data.model_copy(update={"targets": targets, "inputs": _numbers_of(first)}))
    check_columns(first.layout, table, "/data/dataset")
    divided = _divide(table, targets[0], last.horizon, sent)
    check_held_out(table, targets, divided.trained)
    without_residuals = with_forecast(network, last.model_copy(update={"residuals": None}))
    return _plan(divided, without_residuals, None, sent)


def _check_same(data: ForecastData, first: ReadingsSpec, last: ForecastSpec, targets: Sequence[str]) -> None:
    """Raise InvalidInput if a request names columns, a horizon or times that are not those of a model."""
    inputs = [name for name in _numbers_of(first) if name not in targets]
    asked = None if data.inputs is None else [name for name in data.inputs if name not in targets]
    times = any(column.kind == "time" for column in first.columns)
    for name, is_same, wanted, given in (
        ("targets", data.targets in ((), targets), ", ".join(targets), ", ".join(data.targets)),
        ("horizon", data.horizon == last.horizon or "horizon" not in data.model_fields_set, last.horizon, data.horizon),
        ("inputs", asked is None or {*asked} == {*inputs}, ", ".join(inputs) or "none", ", ".join(asked or ())),
        ("times", data.times in (None, times), str(times).lower(), str(data.times).lower()),
    ):
        if not is_same:
            raise InvalidInput(
                f"the model {'forecasts' if name in ('targets', 'horizon') else 'reads'} other {name}: send those, or"
                " the name of a new model",
                pointer=f"/data/{name}",
                expected=str(wanted),
                actual=str(given),
            )


def _is_recipe(network: NetworkSpec) -> bool:
    """Return whether the trained layers have the form of `Trunk`."""
    middle = network.layers[1:-1]
    if [layer.type for layer in middle] != ["dense", "residual", "dense"] or not isinstance(middle[1], ResidualSpec):
        return False
    return [layer.type for layer in middle[1].layers] == ["dense", "recurrent", "dense"]


def _numbers_of(readings: ReadingsSpec) -> tuple[str, ...]:
    return tuple(column.name for column in readings.columns if column.kind in ("number", "category"))


def trunk_of(readings: ReadingsSpec, columns: ChosenColumns, targets: Sequence[str], data: ForecastData) -> Trunk:
    """Return the layers of the recipe for the features of some readings."""
    features = readings.features
    hidden = {name for name in targets if name not in columns.levels}
    hidden |= {f"{name} against {steps} before" for name in targets for steps in columns.unread}
    read = tuple(index for index, name in enumerate(features) if name not in hidden)
    base, hidden_size = tuple(features.index(name) for name in targets), data.hidden_size or HIDDEN
    changes: tuple[int, ...] = ()
    if columns.seasonal is not None:
        back = [columns.seasonal - ahead for ahead in range(1, data.horizon + 1)]
        changes = tuple(
            features.index(f"{name} against {steps} before") if steps else -1 for steps in back for name in targets
        )
    return Trunk(len(features), read, base, data.horizon, hidden_size, data.cell or CELL, changes)


def forecast_of(readings: ReadingsSpec, targets: Sequence[str], horizon: int) -> ForecastSpec:
    """Return the forecast in the scale of the readings."""
    scales, by_session = [], False
    for place, name in enumerate(targets):
        (column,) = (each for each in readings.columns if each.name == name)
        assert isinstance(column, NumberColumn)
        assert column.fitted is not None
        check_scale(column, column.fitted, place)
        by_session |= column.session_scale
        own = {} if column.session_scale else {"shift": column.fitted.shift, "scale": column.fitted.scale}
        scales.append({"name": name, **own})
    document = {"type": "forecast", "targets": scales, "horizon": horizon}
    document |= {"session_scale": True} if by_session else {}
    return ForecastSpec.model_validate_json(json.dumps(document))


def _network(readings: ReadingsSpec, middle: Sequence[Any], forecast: ForecastSpec) -> NetworkSpec:
    ends = [json.loads(each.model_dump_json()) for each in (readings, forecast)]
    document = {"in_size": readings.in_size, "layers": [ends[0], *middle, ends[1]]}
    return NetworkSpec.model_validate_json(json.dumps(document))
