"""How surprising readings are: their distance from the forecast for them, in half widths of its interval of 80%."""

import numpy as np
from numpy.typing import NDArray

from cellar.engine import Floats
from cellar.nn.forecasting.heads import central, quantiles
from cellar.nn.forecasting.rollout import read_targets
from cellar.nn.forecasting.session_scales import RunningScales, scales_of
from cellar.nn.forecasting.widths import Adapting, readings_of
from cellar.nn.model.network import Network

Flags = NDArray[np.bool_]

INTERVAL = np.array([0.1, 0.9])
"""The quantiles at the ends of the interval."""


class Scorer:
    """Scores the inputs of a network that are targets of its forecast layer."""

    def __init__(self, network: Network) -> None:
        """Raise InvalidInput if it is not known which inputs are targets."""
        assert network.forecast is not None
        self._network, self._layer, self._state_size = network, network.forecast, network.state_size
        self._adapts = self._layer.widths is not None
        self._inputs = read_targets(network, self._layer)
        self._place = next(each for each in reversed(network.states) if each.name == "last")

    @classmethod
    def of(cls, network: Network) -> "Scorer | None":
        """Return the scorer of a network, None if it forecasts none of its inputs with an interval."""
        layer = network.forecast
        if layer is None or network.whole_sequences or not layer.has_spread:
            return None
        return cls(network) if read_targets(network, layer) else None

    def score(
        self, state: bytes, inputs: Floats, outputs: Floats, reset: Flags | None = None, left_out: Flags | None = None
    ) -> Floats:
        """Return scores (T, rows, targets) of inputs (T, rows, in_size) and outputs (T, rows, out_size); NaN: no score.

        `state` is that before the steps. Rows begin again with steps that are `reset` (T, rows), and have no step
        where they are `left_out`.
        """
        steps, rows = inputs.shape[:2]
        values = np.frombuffer(state, "<f4").reshape(rows, self._state_size)
        last, widths = values[:, self._place.offset : self._place.offset + self._place.size], None
        running = RunningScales.of(self._network, values)
        if reset is None and left_out is None and not self._adapts and running is None:
            return self._score(inputs, np.concatenate((last[None], outputs[:-1])), None, None)
        before, factors, scales, scale = np.empty_like(outputs), None, None, scales_of(self._network, values)
        if running is not None and scale is not None:
            assert self._network.readings is not None
            encoded, scales = self._network.readings.encode(inputs), np.empty((steps, *scale.shape), np.float32)
        if self._adapts:
            widths = Adapting.of(self._network, values)
            readings, present = readings_of(self._network, inputs)
            factors = np.empty((steps, rows, self._layer.horizon, len(self._layer.targets)), np.float32)
        for step in range(steps):
            begun = None if reset is None else reset[step]
            taken = None if left_out is None else ~left_out[step]
            before[step] = last if begun is None else np.where(begun[:, None], np.float32(0), last)
            last = outputs[step] if taken is None else np.where(taken[:, None], outputs[step], before[step])
            if running is not None and scales is not None and scale is not None:
                scales[step] = scale
                if begun is not None:
                    running.begin_again(begun)
                scale = running.step(encoded[step], taken)
            if widths is not None and factors is not None:
                if begun is not None:
                    widths.begin_again(begun)
                factors[step] = widths.factors
                widths.step(readings[step], present[step], outputs[step], taken, scale)
        found = self._score(inputs, before, factors, scales)
        return found if left_out is None else np.where(left_out[..., None], np.float32(np.nan), found)

    def _score(self, inputs: Floats, before: Floats, factors: Floats | None, scales: Floats | None) -> Floats:
        """Return the scores, for the outputs of the step before each (T, rows, out_size).

        There is none without a reading, without a forecast (all outputs 0), or if the interval has no width.
        """
        readings = np.full((*inputs.shape[:2], len(self._layer.targets)), np.nan)
        for target, number in self._inputs.items():
            readings[..., target] = inputs[..., number]
        readings[~before.any(axis=-1)] = np.nan
        before = np.nan_to_num(before)
        ends = quantiles(self._layer, before, INTERVAL, factors, scales)[..., 0, :, :]
        half = (ends[..., 1] - ends[..., 0]) / 2
        with np.errstate(all="ignore"):
            found = (np.abs(readings - central(self._layer, before)[..., 0, :]) / half).astype(np.float32)
        return np.where(np.isfinite(found), found, np.float32(np.nan))
