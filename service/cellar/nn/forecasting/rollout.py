"""Forecasts from the state of a session: read from its last outputs, or rolled forward with sampled paths.

A path is a row of a batch: the state is repeated for each path, a value is drawn from the forecast of its last step,
and is fed back as input of the next one. The numbers that are drawn come from named streams, so that a request with the
same seed has the same bits. Nothing here reads or writes a session.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.errors import InvalidInput, NotFinite
from cellar.nn.execution.executable import BoundNetwork
from cellar.nn.forecasting.future import inputs_ahead, times_ahead
from cellar.nn.forecasting.heads import central, quantiles
from cellar.nn.forecasting.session_scales import scales_of
from cellar.nn.forecasting.widths import factors_of, own_state
from cellar.nn.model.layers.forecast import ForecastSpec, ForecastTarget
from cellar.nn.model.network import Network
from cellar.nn.numerics.random_streams import uniforms

Doubles = NDArray[np.float64]

DEFAULT_PATHS = 200


@dataclass(frozen=True, slots=True)
class Ask:
    """The options of a forecast."""

    horizon: int
    levels: tuple[float, ...] | None
    """The quantiles; None: 0.1, 0.5 and 0.9 if the model has any."""
    paths: int | None
    """Paths that are drawn; None: as many as is usual."""
    future: Floats | None
    """(steps, in_size): the inputs of the steps ahead, NaN where they are not known."""
    feedback: Mapping[int, int] | None
    """For outputs the input that they become; None: by the model."""
    last: Floats | None
    """(rows, out_size): the last outputs of the session, if its model does not keep them."""
    seed: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Values in units of the targets."""

    targets: tuple[str, ...]
    point: Doubles
    """(rows, horizon, targets)"""
    levels: tuple[float, ...]
    quantiles: Doubles | None
    """(rows, horizon, targets, levels), None if the model answers one number."""
    paths: Doubles | None
    """(rows, paths, horizon, targets), None if none was drawn."""
    times: Doubles | None
    """(rows, horizon): the times of the values, seconds since 1970-01-01 in UTC; None if the model knows none."""


USUAL_LEVELS = (0.1, 0.5, 0.9)


class Rollout:
    """A forecast that is computed in steps: call `advance` until it returns False, then `result`.

    Raise InvalidInput for what the model cannot answer, with a pointer to the member of the request.
    """

    def __init__(self, bound: BoundNetwork, state: Floats, ask: Ask, known: Floats | None = None) -> None:
        """Begin with the states (rows, state_size) of a session.

        `known` are the inputs (rows, horizon - 1, in_size) of the steps ahead, in place of those that the request says.
        """
        network = bound.network
        self._bound, self._ask, self._rows = bound, ask, len(state)
        self._layer = network.forecast or _plain_layer(network)
        self._is_direct = self._layer.horizon > 1 or (ask.horizon == 1 and ask.paths is None)
        if network.whole_sequences:
            raise InvalidInput("the model reads whole sequences, so its sessions have no state to forecast from")
        self._has_spread = self._layer.has_spread
        if ask.levels is not None and not self._has_spread:
            raise InvalidInput(
                "the model answers one number for each step, and no residuals were measured",
                pointer="/quantiles",
                expected="no quantiles, or a model with a forecast of quantiles, of a distribution, or with residuals",
            )
        self._outputs, self._states = _last_outputs(network, state, ask.last), state
        self._times = times_ahead(network, state, ask.horizon)
        if self._is_direct:
            self._check_direct()
            self._left = 0
            return
        self.paths = 1 if not self._has_spread else ask.paths or DEFAULT_PATHS
        if ask.paths is not None and not self._has_spread:
            raise InvalidInput("paths would all be equal", pointer="/paths", expected="a model with quantiles")
        self._inputs = inputs_ahead(network, state, ask.future, ask.horizon) if known is None else known
        self._feedback = _feedback(network, self._layer, ask.feedback)
        self._check_known()
        self._inputs = np.repeat(self._inputs, self.paths, axis=0)
        self._states = np.repeat(state, self.paths, axis=0)
        self._outputs = np.repeat(self._outputs, self.paths, axis=0)
        shape = (self._rows * self.paths, ask.horizon, len(self._layer.targets))
        self._values = np.empty(shape)
        self._left = ask.horizon

    def advance(self) -> bool:
        """Compute the next step. Return whether there are more."""
        if not self._left:
            return False
        step = self._ask.horizon - self._left
        self._values[:, step] = self._drawn(step)
        self._left -= 1
        if self._left:
            inputs = self._inputs[:, step].copy()
            for output, number in self._feedback.items():
                inputs[:, number] = self._values[:, step, output]
            inputs = np.ascontiguousarray(inputs, np.float32)[None]
            self._bound.network.check_inputs(inputs, "/future")
            run = self._bound.run(inputs, self._states)
            if run.bad_step is not None:
                raise NotFinite(f"the forecast is not finite from step {step + 2} on")
            self._states, self._outputs = run.state, run.outputs[0]
        return bool(self._left)

    def result(self) -> Forecast:
        """Return the forecast."""
        targets = tuple(target.name for target in self._layer.targets)
        levels = self._ask.levels or USUAL_LEVELS
        if self._is_direct:
            point = central(self._layer, self._outputs)[:, : self._ask.horizon]
            found = None
            if self._has_spread:
                found = quantiles(self._layer, self._outputs, np.array(levels), *self._spread(self._states))
            found = None if found is None else found[:, : self._ask.horizon]
            return Forecast(targets, point, levels if found is not None else (), found, None, self._times)
        paths = self._values.reshape(self._rows, self.paths, *self._values.shape[1:])
        if not self._has_spread:
            return Forecast(targets, paths[:, 0], (), None, None, self._times)
        ordered = np.sort(paths, axis=1)
        spread = np.stack([_at(ordered, level) for level in levels], axis=-1)
        return Forecast(targets, _at(ordered, 0.5), levels, spread, paths, self._times)

    def _drawn(self, step: int) -> Doubles:
        """Return a value (rows x paths, targets) of each path, drawn from the outputs of its last step."""
        if not self._has_spread:
            return central(self._layer, self._outputs)[:, 0]
        count = len(self._outputs) * len(self._layer.targets)
        drawn = uniforms(self._ask.seed, f"forecast step {step}", count)
        # 0 is the quantile of no value
        levels = np.maximum(drawn, 2.0**-53).reshape(len(self._outputs), 1, -1, 1)
        return quantiles(self._layer, self._outputs, levels, *self._spread(self._states))[:, 0, :, 0]

    def _spread(self, states: Floats) -> tuple[Floats | None, Floats | None]:
        """Return the factors of the widths and the scales of the sessions."""
        return factors_of(self._bound.network, states), scales_of(self._bound.network, states)

    def _check_direct(self) -> None:
        if self._ask.horizon > self._layer.horizon:
            raise InvalidInput(
                f"the model forecasts {self._layer.horizon} steps at once",
                pointer="/horizon",
                expected=f"at most {self._layer.horizon}",
                actual=str(self._ask.horizon),
            )
        for name, given in (("paths", self._ask.paths), ("future", self._ask.future), ("feedback", self._ask.feedback)):
            if given is not None:
                raise InvalidInput(
                    "the model answers all steps ahead at once, and draws nothing",
                    pointer=f"/{name}",
                    expected=f"no {name}, or a model that forecasts the next step",
                )

    def _check_known(self) -> None:
        fed = {*self._feedback.values()}
        for step, number in np.argwhere(np.isnan(self._inputs).any(axis=0)).tolist():
            if number not in fed and self._must_be_known(number):
                raise InvalidInput(
                    f"input {number} of step {step + 1} ahead is not known: no output becomes it",
                    pointer=f"/future/{step}/{number}" if self._ask.future is not None else "/future",
                    expected="a number for each input that is no output, for each step ahead but the last",
                )

    def _must_be_known(self, number: int) -> bool:
        """Return whether an input is not a reading that may be missing."""
        readings = self._bound.network.readings
        if readings is None:
            return True
        time = readings.layout.time
        return time is not None and number in (place := readings.layout.offsets[time[0]], place + 1)


def _at(ordered: Doubles, level: float) -> Doubles:
    """Return a quantile of sorted values (rows, paths, ...), linear between two of them (Hyndman and Fan's type 7)."""
    place = level * (ordered.shape[1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[1] - 1)
    found: Doubles = ordered[:, low] + (place - low) * (ordered[:, high] - ordered[:, low])
    return found


def _plain_layer(network: Network) -> ForecastSpec:
    """Return the forecast of a network without a layer for it: its outputs are the next values."""
    targets = tuple(ForecastTarget(name=str(number)) for number in range(network.out_size))
    return ForecastSpec(targets=targets)


def _last_outputs(network: Network, state: Floats, given: Floats | None) -> Floats:
    """Return the last outputs (rows, out_size): of the request, or those that the forecast layer keeps."""
    if network.forecast is None:
        if given is None:
            raise InvalidInput(
                "the model keeps no outputs",
                pointer="/last",
                expected=f"the {network.out_size} outputs of the last step, or a model with a forecast layer",
            )
        if given.shape != (len(state), network.out_size):
            raise InvalidInput(
                "these are not the outputs of a step",
                pointer="/last",
                expected=f"{len(state)} x {network.out_size} numbers",
                actual=" x ".join(str(size) for size in given.shape),
            )
        return given
    if given is not None:
        raise InvalidInput("the session keeps its last outputs", pointer="/last", expected="no such member")
    return np.ascontiguousarray(own_state(network, state, "last"))


def read_targets(network: Network, layer: ForecastSpec) -> dict[int, int]:
    """Return for each target the input that has its readings: of that name, or all in order. Empty if none has any."""
    count = len(layer.targets)
    if network.readings is not None:
        layout, names = network.readings.layout, [target.name for target in layer.targets]
        place = {column.name: layout.offsets[at] for at, column in layout.numbers}
        return {output: place[name] for output, name in enumerate(names) if name in place}
    return {number: number for number in range(count)} if network.in_size == count else {}


def _feedback(network: Network, layer: ForecastSpec, given: Mapping[int, int] | None) -> dict[int, int]:
    """Return the input that each target becomes. Without a request all outputs are inputs, in order, or have a name."""
    count = len(layer.targets)
    if given is not None:
        for output, number in given.items():
            if not (0 <= output < count and 0 <= number < network.in_size):
                raise InvalidInput(
                    "there is no such output or input",
                    pointer=f"/feedback/{output}",
                    expected=f"outputs 0 to {count - 1}, inputs 0 to {network.in_size - 1}",
                    actual=f"{output}: {number}",
                )
        return dict(given)
    found = read_targets(network, layer)
    if found or network.readings is not None:
        return found
    raise InvalidInput(
        "it is not known which outputs become inputs of the next step",
        pointer="/feedback",
        expected='for each output the input that it becomes, as {"0": 2}',
        actual=f"{count} values and {network.in_size} inputs",
    )
