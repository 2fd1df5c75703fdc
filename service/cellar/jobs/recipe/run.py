"""A run on a dataset in a worker: its features and windows, and the measurement and the network of its result."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cellar.errors import InvalidInput
from cellar.jobs.recipe.measures import Measured, measure
from cellar.jobs.recipe.planning.plan import Plan, rows_of
from cellar.jobs.recipe.series import Scale, Series, trained_steps
from cellar.jobs.recipe.widths import adapts, rate_of, with_residuals
from cellar.jobs.recipe.windows import dataset
from cellar.nn.execution.executable import CompiledNetwork
from cellar.nn.forecasting.publishing import published_weights, readings_alone, with_forecast
from cellar.nn.model.layers.forecast import Residuals
from cellar.nn.model.network import Network
from cellar.nn.model.spec import NetworkSpec
from cellar.nn.readings import table as readings_table
from cellar.nn.training.checkpoints.progress import Evaluation
from cellar.nn.training.data.dataset import Dataset
from cellar.table import Table

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]
Compile = Callable[[NetworkSpec], CompiledNetwork]

LEVELS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
"""The quantiles of residuals that are kept: those of intervals of 50, 80, 90 and 95%, and the median."""

BLOCK = 4096
"""Steps of a call that computes features."""

IN_MEMORY_BYTES = 32 * 1024 * 1024
"""Features of more bytes are in a temporary file that is mapped, so that the memory does not grow with the dataset."""

LEAST_ORIGINS = 10
"""Residuals of fewer forecasts say nothing about their quantiles."""


class ForecastRun:
    """The run of a plan on a table. Everything follows from both and the seed, in every process with the same bits."""

    def __init__(self, plan: Plan, table: Table, compile_network: Compile) -> None:
        self.plan = plan
        self._table = table
        self._compile = compile_network
        targets = plan.forecast.targets
        self._measured: tuple[Weights, Measured] | None = None
        """The weights that were measured last, and their errors: a result is evaluated and then published."""
        self._scale = Scale(np.array([each.shift for each in targets]), np.array([each.scale for each in targets]))

    @cached_property
    def trained(self) -> CompiledNetwork:
        """The layers that are trained."""
        return self._compile(self.plan.trained_network)

    def weights(self, full: Weights | None, seed: int) -> Weights:
        """Return the weights of the trained layers at the begin: those of a version with all layers, or new ones."""
        network = self.trained.network
        if full is None:
            return network.init(seed) if self.plan.trunk is None else self.plan.trunk.weights(network, seed)
        return {name: full[_moved(name, 1)] for name, _ in network.parameters}

    @cached_property
    def series(self) -> list[Series]:
        """The series with the features of each step."""
        return [*self._series()]

    def _series(self) -> Iterator[Series]:
        first, forecast = self.plan.readings, self.plan.forecast
        readings = self._compile(readings_alone(self.plan.network))
        bound = readings.bind(readings.network.init(0), inference=True)
        layer, rows = readings.network.readings, rows_of(self._table)
        assert layer is not None
        features = _allocated(self._table.rows, readings.network.out_size)
        names = [target.name for target in forecast.targets]
        count = len(first.features)
        kept = forecast.scale_in(layer.layout) if forecast.session_scale else None
        for part in rows:
            state = bound.initial_state(1)
            for begin in range(part.start, part.stop, BLOCK):
                end = min(begin + BLOCK, part.stop)
                some = readings_table.rows_of(layer.layout, self._table, slice(begin, end))
                run = bound.run(some[:, None], state)
                features[begin:end], state = run.outputs[:, 0], run.state
            values = np.stack([np.asarray(self._table.values[name][part], np.float64) for name in names], axis=1)
            steps = part.stop - part.start
            scale = None
            if kept is not None:
                numbers = features[part, count:].reshape(steps, 2, -1)[:, :, [*kept.columns]] * kept.units
                scale = Scale(numbers[:, 1], numbers[:, 0])
            yield Series(features[part, :count], values, trained_steps(steps, self.plan.validation), scale)

    @cached_property
    def data(self) -> Dataset:
        """The windows of training and validation. Raise InvalidInput if no reading of a target can be trained on."""
        found = dataset(self.series, self.plan.shape, self._scale, self.plan.since)
        if found.weights is not None and not found.weights.any():
            raise InvalidInput("no step has readings of all targets in the whole horizon after it", pointer="/data")
        return found

    def measure(self, weights: Weights) -> Measured:
        """Return the errors of these weights of the trained layers on the held-out steps."""
        if self._measured is None or self._measured[0] is not weights:
            bound, plan = self.trained.bind(weights), self.plan
            found = measure(bound, self.series, plan.forecast.horizon, self._scale, plan.period, LEVELS)
            self._measured = weights, found
        return self._measured[1]

    def evaluate(self, before: Weights, after: Weights) -> Evaluation:
        """Return the errors of the final weights beside those at the begin and those of the naive forecasts."""
        unchanged = self.measure(before).compared.model
        measured = self.measure(after)
        compared = measured.compared
        return Evaluation(
            data="validation",
            loss=compared.model,
            before=unchanged,
            last_value=compared.last_value,
            seasonal_value=compared.seasonal_value,
            mean=compared.mean,
            period=self.plan.period,
            mae=measured.mae,
            by_target={
                target.name: asdict(errors)
                for target, errors in zip(self.plan.forecast.targets, measured.by_target, strict=True)
            },
        )

    def published(self, trained: Weights) -> tuple[NetworkSpec, dict[str, Floats]]:
        """Return the network that sessions step, with the residuals of its forecasts, and its weights."""
        forecast, measured = self.plan.forecast, self.measure(trained)
        if measured.count >= LEAST_ORIGINS:
            scale = self._scale.scale[None, :, None]
            values = np.maximum.accumulate(measured.residuals * scale, axis=2).reshape(-1).tolist()
            residuals = Residuals.model_validate_json(json.dumps({"levels": LEVELS, "values": values}))
            rate = None
            if adapts(self.plan.readings, forecast):
                rate = rate_of(measured.count, len(self._table.bounds) - 1)
            forecast = with_residuals(forecast, residuals, measured.recent, rate)
        spec = with_forecast(self.plan.network, forecast)
        network = Network(spec)
        constants = {name: value for name, value in network.init(0).items() if name.split(".")[0] == "0"}
        moved = {_moved(name, 1): value for name, value in trained.items()}
        return spec, published_weights(network, constants | moved)


def _moved(name: str, by: int) -> str:
    number, dot, rest = name.partition(".")
    return f"{int(number) + by}{dot}{rest}"


def _allocated(rows: int, size: int) -> Floats:
    """Return an array (rows, size), in a file that has no name if it is large."""
    if rows * size * 4 <= IN_MEMORY_BYTES:
        return np.empty((rows, size), np.float32)
    with tempfile.TemporaryFile() as file:
        file.truncate(rows * size * 4)
        return np.memmap(file, np.float32, "r+", shape=(rows, size))
